"""Must keep: what a summary may not lose, found in the journal without a model.

- the person's words of the work that goes on, once they leave the context: whole, as long as there is room;
- open tasks of the todo list;
- standing rules: sentences of the person that say always, never, don't, from now on … (see `rules_in`);
- decisions: answers to questions, refusals with a reason, approvals that were remembered;
- files that were changed by the file tools.

An item that was kept once is carried on by the event of the compaction that kept it; what is asked for and the open
tasks are known to the history.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from letta_code.agent.transcript import shortened
from letta_code.core import events as ev
from letta_code.core.display import DiffBlock
from letta_code.core.messages import Value, text_of
from letta_code.core.requests import ApprovalRequest, Approve, Deny, QuestionRequest, Reply, Request

# The kinds in the order in which room is given to them.
REQUEST, TODO, RULE, DECISION, FILE = KINDS = ("request", "todo", "rule", "decision", "file")
_LONGEST = {TODO: 300, RULE: 300, DECISION: 400, FILE: 300}  # characters
_MOST = {TODO: 50, RULE: 40, DECISION: 30, FILE: 40}
_TOLD = 300  # characters of a request in the event: the whole stands in the summary and at its own event
_SMALLEST_PART = 120  # tokens; less of a request is not worth its note
_EDITS = frozenset({"Edit", "Write", "ApplyPatch"})


class Item(Value):
    """One thing that must be kept, and the event that it came with (0: it is a state, not an event).

    `cut` are the characters of a request that had no room.
    """

    kind: str
    text: str
    seq: int = 0
    cut: int = 0

    def told(self) -> str:
        """As the event of a compaction carries it: `rule [12]: Never push.`"""
        text = shortened(self.text, _TOLD) if self.kind == REQUEST else self.text
        return f"{self.kind} [{self.seq}]: {text}" if self.seq else f"{self.kind}: {text}"


_AS_TOLD = re.compile(rf"({'|'.join(KINDS)})(?: \[(\d+)\])?: (.+)", re.DOTALL)


def from_told(told: str) -> Item | None:
    """The item that `Item.told` wrote; None for what a newer version wrote."""
    found = _AS_TOLD.fullmatch(told)
    return Item(kind=found[1], seq=int(found[2] or 0), text=found[3]) if found else None


# ---------------------------------------------------------------- finding

_CODE = re.compile(r"```.*?(?:```|\Z)|^\s{0,3}>.*$|`[^`\n]*\?`", re.DOTALL | re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?…])\s+|\n+")
_CLAUSE = r"(?:^|[,;:(–—]\s*|\b(?:and|but|please|so|then|also|must|should|to|und|aber|bitte)\s+)"
_NOT_A_RULE = r"(?!\s+(?:mind|worry|bother|know|think|you\s+think)\b)"
_RULE = re.compile(
    rf"{_CLAUSE}(?:always|never|don['’]?t|do\s+not|immer|nie|niemals|nicht|kein\w*){_NOT_A_RULE}\b"
    r"|\b(?:from\s+now\s+on|from\s+here\s+on|going\s+forward|in\s+future|under\s+no\s+circumstances|no\s+matter\s+what"
    r"|ab\s+jetzt|ab\s+sofort|von\s+nun\s+an|künftig|in\s+zukunft|grundsätzlich|auf\s+keinen\s+fall)\b"
    r"|\b(?:every|each)\s+time\s+you\b|\bwhenever\s+you\b|\b(?:must|may)\s+(?:not|never|always)\b"
    r"|^(?:please\s+)?(?:make\s+sure|remember\s+(?:that|to)|only\s+use|use\s+only|stick\s+to|prefer|avoid)\b"
    r"|^\w+\s+(?:immer|nie|niemals)\b|\bdenke?\s+daran\b|\bmerke?\s+dir\b",
    re.IGNORECASE,
)
_LONGEST_RULE, _SHORTEST_RULE = 300, 8


def rules_in(text: str) -> list[str]:
    """Sentences of a person that set a standing rule.

    Kept simple on purpose: the words must stand where an order has them (`don't` at the beginning of a clause, not in
    `I don't know`); questions, quotes and code are left out.  What it misses the summary may still tell; what it finds
    wrongly costs a line.
    """
    sentences = (" ".join(one.strip(" \t-*•").split()) for one in _SENTENCE.split(_CODE.sub("", text)))
    return [
        sentence
        for sentence in sentences
        if _SHORTEST_RULE <= len(sentence) <= _LONGEST_RULE and not sentence.endswith("?") and _RULE.search(sentence)
    ]


def items_in(events: Iterable[ev.Event], cwd: str) -> list[Item]:
    """The rules, decisions and files of these events."""
    found: list[Item] = []
    asked: dict[str, Request] = {}
    for event in events:
        match event:
            case ev.UserMessage():
                found += [Item(kind=RULE, text=rule, seq=event.seq) for rule in rules_in(text_of(event.content))]
            case ev.RequestMade(request=request):
                asked[request.request_id] = request
            case ev.RequestAnswered() if event.request_id in asked:
                if decision := _decision(asked[event.request_id], event):
                    found.append(Item(kind=DECISION, text=decision, seq=event.seq))
            case ev.ToolResult(status="ok") if event.name in _EDITS:
                paths = [block.path for block in event.blocks if isinstance(block, DiffBlock)]
                found += [Item(kind=FILE, text=_from(path, cwd), seq=event.seq) for path in paths]
            case _:
                pass
    return found


def _decision(request: Request, event: ev.RequestAnswered) -> str:
    match request, event.answer:
        case QuestionRequest(), Reply(text=text):
            return f"{_line(request.question)} → {_line(text)}"
        case ApprovalRequest(), Deny(message=message) if message:
            return f"no to {_line(request.title)}: {_line(message)}"
        case ApprovalRequest(), Reply(text=text):
            return f"to {_line(request.title)}: {_line(text)}"
        case ApprovalRequest(), Approve(remember=remember, pattern=pattern) if pattern and remember != "once":
            return f"allowed without asking: {pattern}"
        case _:
            return ""


def _line(text: str) -> str:
    return shortened(" ".join(text.split()), 200)


def _from(path: str, cwd: str) -> str:
    """A path as the agent writes it: relative inside the working directory."""
    return os.path.relpath(path, cwd) if path.startswith(cwd.rstrip("/") + "/") else path


def open_todo(lines: Iterable[str]) -> list[Item]:
    """The tasks of a todo list that are not done."""
    return [Item(kind=TODO, text=line) for line in lines if not line.startswith("[x]")]


def carried(told: Iterable[str]) -> list[Item]:
    """What an earlier compaction kept: without the requests and tasks, which are known anew."""
    items = [item for one in told if (item := from_told(one)) is not None]
    return [item for item in items if item.kind not in (REQUEST, TODO)]


# ---------------------------------------------------------------- choosing


class Kept(Value):
    """The items that have room, the oldest first, and what is to be said of those that have none."""

    items: tuple[Item, ...]
    left_out: str = ""


def choose(found: Sequence[Item], count: Callable[[str], int], budget: int) -> Kept:
    """The items that must be kept, each once, within so many tokens; where room is short the newest of each kind."""
    newest: dict[tuple[str, str], Item] = {}
    for item in found:
        key = item.kind, " ".join(item.text.split())
        newest.pop(key, None)
        newest[key] = item
    chosen: list[Item] = []
    room = budget
    for kind in _MOST:
        of_kind = [item for (name, _), item in newest.items() if name == kind]
        for item in of_kind[: -_MOST[kind] - 1 : -1] if kind != TODO else of_kind[: _MOST[TODO]]:
            text = shortened(item.text, min(_LONGEST[kind], budget * 2))  # half of it, at about 4 characters a token
            cost = count(text) + 6  # the mark and the number before it
            if cost > room:
                break
            chosen.append(Item(kind=kind, text=text, seq=item.seq))
            room -= cost
    left = Counter(item.kind for item in newest.values())
    left.subtract(item.kind for item in chosen)
    names = [_many(count, kind) for kind, count in left.items() if count]
    return Kept(items=_sorted(chosen), left_out=f"No room was left for {', '.join(names)}." if names else "")


def _many(count: int, kind: str) -> str:
    names = {TODO: "open task", FILE: "changed file"}
    return f"{count} older {names.get(kind, kind)}{'s' * (count > 1)}"


def choose_requests(found: Sequence[Item], count: Callable[[str], int], room: int) -> Kept:
    """What the person asked for, the newest first and whole; what does not fit is cut and says so, or is named."""
    chosen: list[Item] = []
    said: list[str] = []
    for item in reversed(found):
        if (cost := count(item.text) + 6) > room:
            cut = _fitted(item, count, room)
            if cut is None:
                said.append(f"The person's message at event {item.seq} had no room.")
                continue
            said.append(
                f"The person's message at event {item.seq} was cut: {cut.cut:,} of its {len(item.text):,} characters, "
                "from its middle, had no room."
            )
            item, cost = cut, room
        chosen.append(item)
        room -= cost
    return Kept(items=_sorted(chosen), left_out=" ".join(said))


def _fitted(item: Item, count: Callable[[str], int], room: int) -> Item | None:
    """A request as its beginning and end, within so many tokens; None where there is room for next to nothing."""
    if room < _SMALLEST_PART:
        return None
    left = len(item.text)
    while True:
        left = left * 4 // 5
        cut = len(item.text) - left
        text = (
            f"{item.text[: left * 2 // 3].rstrip()}\n"
            f"[{cut:,} characters are left out here: all of it is event {item.seq} of this conversation]\n"
            f"{item.text[-(left // 3) :].lstrip()}"
        )
        if count(text) + 6 <= room:
            return Item(kind=REQUEST, text=text, seq=item.seq, cut=cut)
        if left < 40:
            return None


def _sorted(items: Sequence[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: (KINDS.index(item.kind), item.seq)))


_TITLES = {
    REQUEST: "What the person asked for in the work that goes on:",
    TODO: "Open tasks:",
    RULE: "Rules of the person (a later one wins):",
    DECISION: "Decided by the person:",
    FILE: "Files changed so far:",
}


def listed(items: Sequence[Item]) -> str:
    """Items as a list under a title for each kind, each with the event it came with."""
    lines: list[str] = []
    for kind in KINDS:
        if of_kind := [item for item in items if item.kind == kind]:
            lines += [_TITLES[kind], *(_listed(item) for item in of_kind)]
    return "\n".join(lines)


def _listed(item: Item) -> str:
    place = f"[{item.seq}] " if item.seq else ""
    return f"- {place}" + item.text.replace("\n", "\n  ")
