"""Words: checkpoints, previews and rewinds as a person and the model read them."""

from __future__ import annotations

from collections.abc import Sequence

from letta_code.agent.rewinding.looking import FileChange, Preview, summary
from letta_code.agent.rewinding.targets import CODE, CONVERSATION, MEMORY
from letta_code.core import events as ev
from letta_code.core.counts import many
from letta_code.memory.block import one_line
from letta_code.safety.terminal import visible

SHOWN_FILES = 12
SHOWN_MESSAGES = 8
_TOLD_FILES = 20
_MARKS = {"added": "+", "deleted": "-", "changed": "~", "mode": "m"}


def shown_path(path: str) -> str:
    """A path with its control and broken characters made visible, on one line."""
    return _line(path.encode("utf-8", "backslashreplace").decode())


def _line(text: str) -> str:
    """A text of others' words on one line: it can begin none of ours."""
    return visible(text).replace("\n", "‹U+000A›").replace("\t", "‹U+0009›")


def file_line(change: FileChange) -> str:
    """`~ src/a.py`: what going back does to a file."""
    return f"{_MARKS.get(change.kind, '~')} {shown_path(change.path)}"


def listed(paths: Sequence[str], most: int) -> str:
    """Paths on one line, so many of them."""
    more = f" and {len(paths) - most:,} more" if len(paths) > most else ""
    return ", ".join(shown_path(path) for path in paths[:most]) + more


def preview_text(preview: Preview, what: Sequence[str]) -> str:
    """A preview as lines of text, one screen at most."""
    lines = [f"Going back to {_line(preview.target.named)}: {summary(preview, what)}."]
    if CODE in what and preview.files:
        lines += ["Files (+ comes back, - goes, ~ changes):"]
        lines += [f"  {file_line(change)}" for change in preview.files[:SHOWN_FILES]]
        lines += _more(preview.files, SHOWN_FILES)
    if CONVERSATION in what and preview.messages:
        lines += ["Messages:"]
        for line in preview.messages[:SHOWN_MESSAGES]:
            mark = "+" if line.back else "-"
            lines.append(f"  {mark} {_line(line.who)}: {_line(one_line(line.text, 60))}")
        lines += _more(preview.messages, SHOWN_MESSAGES)
    if MEMORY in what and preview.memory:
        blocks = (f"{_line(diff.path)} (+{diff.added} -{diff.removed})" for diff in preview.memory)
        lines.append(f"Memory: {', '.join(blocks)}")
    lines += [f"! {_line(text)}" for text in (*preview.kept, *preview.warnings)]
    return "\n".join(lines)


def _more(items: Sequence[object], shown: int) -> list[str]:
    return [f"  … and {len(items) - shown:,} more"] if len(items) > shown else []


def done_notice(
    preview: Preview, event: ev.Rewound, verb: str, blocks: Sequence[str], kept: Sequence[str]
) -> ev.Notice:
    """What a rewind did, for the person."""
    parts: list[str] = []
    if CODE in event.what:
        touched = event.written + event.removed
        names = f": {listed([one.path for one in preview.files], 6)}" if touched else ""
        parts.append(f"{many(touched, 'file')} set back{names}")
    if CONVERSATION in event.what:
        parts.append(summary(preview, (CONVERSATION,)).replace(" leave", " left").replace(" come back", " came back"))
    if blocks:
        parts.append(f"memory: {', '.join(map(_line, blocks))}")
    failed = [*event.failed, *kept]
    if failed:
        more = f" (and {len(failed) - 3} more)" if len(failed) > 3 else ""
        parts.append("Not everything: " + " ".join(_line(text) for text in failed[:3]) + more)
    hint = "/undo undoes it again." if verb == "Redone:" else "/redo takes it back, until you say something new."
    text = f"{verb} {_line(preview.target.named)} · {' · '.join(parts) or 'nothing had changed'}"
    if verb != "Redone:" and preview.warnings:
        text = " ".join([f"{text}.", *map(_line, preview.warnings[:3])])
    return ev.Notice(level="warning" if failed else "info", text=text, hint=hint, code="rewound")


def told_files(files: Sequence[FileChange], event: ev.Rewound, root: str) -> str:
    """What the model must know after only files were set back."""
    names = listed([one.path for one in files], _TOLD_FILES)
    failed = f" These could not be set back: {' '.join(event.failed[:5])}" if event.failed else ""
    return (
        f"The person set the files of {root} back to an earlier state: {many(len(files), 'file')} changed"
        f"{f': {names}' if names else ''}.{failed} What you know of them may be wrong: look before you go on."
    )


def told_talk(files: Sequence[FileChange], event: ev.Rewound, *, code: bool) -> str:
    """What the model must know after the conversation went back and files are not those of then; "" for nothing."""
    if code and not event.failed:
        return ""
    if code:
        return (
            "The person set the conversation and the files back to an earlier state, but some files stayed: "
            f"{' '.join(event.failed[:5])} Look before you go on."
        )
    names = listed([one.path for one in files], _TOLD_FILES)
    differ = f" {many(len(files), 'file')} differ from what they were here: {names}." if files else ""
    return (
        "The person set this conversation back to here; what was said after it counts no longer. Files were not set "
        f"back with it.{differ} Look at them before you rely on what you know."
    )
