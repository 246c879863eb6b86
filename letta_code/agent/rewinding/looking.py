"""Looking: what going back to a point would change, before anything is done."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence

import msgspec

from letta_code.agent.rewinding.targets import CODE, CONVERSATION, MEMORY, Target, first_words
from letta_code.core import events as ev
from letta_code.core.counts import many
from letta_code.core.display import DiffBlock
from letta_code.core.messages import ToolCall, Value, text_of
from letta_code.core.view import view

_OUTSIDE = {
    "curl", "wget", "ssh", "scp", "rsync", "sftp", "kubectl", "docker", "podman", "terraform", "aws", "gcloud", "az",
    "psql", "mysql", "sqlite3", "redis-cli", "mongosh", "npm", "pip", "pip3", "uv", "cargo", "apt", "apt-get", "brew",
    "systemctl", "crontab", "gh", "http", "nc",
}  # fmt: skip
_TOLD = 3  # commands that are named
_SEPARATORS = frozenset({"&&", "||", ";", "|", "&", "(", ")", "{", "}", "then", "do", "sudo", "env", "!"})


class FileChange(Value):
    """A file that would change: `kind` is what going back does to it (added, changed, deleted, mode)."""

    path: str
    kind: str


class Leaving(Value):
    """A message that would leave the conversation, or come back (`back`)."""

    seq: int
    who: str
    text: str
    back: bool = False


class Preview(Value):
    """What going back would do.

    `parts` can be gone back to; `files` are in the order of their paths, seen from now; `tree` is the snapshot of now
    ("" without); `memory` are the blocks' changes and `kept` those that stay; `warnings` what the person should know;
    `prompt` is the message that would come back into the prompt; `state` says whether the conversation went on since.
    `ask` says why going back by a word (/undo, /redo) must be asked again: files cannot go back, or cannot be told
    apart from the person's; `theirs` are files that stay, because they changed after the run too; `whole` is False
    where `files` are not all that differ.
    """

    target: Target
    parts: tuple[str, ...]
    files: tuple[FileChange, ...] = ()
    messages: tuple[Leaving, ...] = ()
    memory: tuple[DiffBlock, ...] = ()
    kept: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tree: str = ""
    prompt: str = ""
    state: tuple[int, int] = (0, 0)
    ask: str = ""
    theirs: tuple[str, ...] = ()
    whole: bool = True


def leaving(events: Sequence[ev.Event], until: int) -> tuple[list[Leaving], str]:
    """The messages that would leave or come back, and the first of the person's that would leave."""
    now, then = view(events), view([event for event in events if event.seq <= until])
    kept, there = {event.seq for event in then}, {event.seq for event in now}
    gone = [event for event in now if event.seq not in kept]
    found = [line for event in gone for line in _lines(event)]
    found += [msgspec.structs.replace(line, back=True) for e in then if e.seq not in there for line in _lines(e)]
    prompt = next((event for event in gone if isinstance(event, ev.UserMessage)), None)
    return found, _typed(prompt) if prompt else ""


def _typed(event: ev.UserMessage) -> str:
    """What the person typed; what went along with it (the output of a command) is not."""
    return text_of(event.content[-1:])


def _lines(event: ev.Event) -> Iterator[Leaving]:
    match event:
        case ev.UserMessage():
            yield Leaving(seq=event.seq, who="you", text=first_words(text_of(event.content), 200))
        case ev.AssistantMessage():
            if event.text.strip():
                yield Leaving(seq=event.seq, who="agent", text=first_words(event.text, 200))
            for call in event.tool_calls:
                yield Leaving(seq=event.seq, who=call.name, text=first_words(call.arguments, 200))
        case _:
            pass


def outside(events: Sequence[ev.Event], after: int, root: str) -> str:
    """A sentence about what was done after an event that no checkpoint brings back; "" for nothing."""
    found: list[str] = []
    for event in events:
        if isinstance(event, ev.AssistantMessage) and event.seq > after:
            found += [what for call in event.tool_calls if (what := _reaches_out(call, root))]
    named = list(dict.fromkeys(found))
    if not named:
        return ""
    more = f" and {len(named) - _TOLD} more" if len(named) > _TOLD else ""
    return f"What these did outside the work tree is not taken back: {', '.join(named[:_TOLD])}{more}."


def _reaches_out(call: ToolCall, root: str) -> str:
    try:
        arguments = msgspec.json.decode(call.arguments.encode(), type=dict[str, object])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return ""
    path = arguments.get("path")
    if isinstance(path, str) and call.name in ("Edit", "Write"):
        real = os.path.normpath(os.path.join(root, os.path.expanduser(path)))
        return "" if f"{real}/".startswith(f"{root}/") else f"{call.name} {first_words(path)}"
    command = arguments.get("command")
    if not isinstance(command, str):
        return ""
    try:
        words = shlex.split(command, comments=True)
    except ValueError:
        words = command.split()
    begins = True
    for at, word in enumerate(words):
        name = os.path.basename(word)
        if begins and (name in _OUTSIDE or (name == "git" and "push" in words[at + 1 : at + 4])):
            return f"`{first_words(command)}`"
        begins = word in _SEPARATORS or word.endswith(";") or (begins and "=" in word)
    return ""


def parts_of(preview: Preview, what: Sequence[str]) -> tuple[str, ...]:
    """The parts of a preview that a person means by `what`: () for all."""
    return tuple(part for part in preview.parts if not what or part in what)


def summary(preview: Preview, what: Sequence[str]) -> str:
    """What would be done, in one line."""
    said: list[str] = []
    if CODE in what:
        said.append(many(len(preview.files), "file") if preview.files else "no file")
    if CONVERSATION in what:
        back = sum(line.back for line in preview.messages)
        leaves = len(preview.messages) - back
        said += [f"{many(leaves, 'message')} leave"] if leaves or not back else []
        said += [f"{many(back, 'message')} come back"] if back else []
    if MEMORY in what and preview.memory:
        said.append(many(len(preview.memory), "memory block"))
    return " · ".join(said)
