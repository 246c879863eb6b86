"""/context: what fills the context, how far it is from compaction, and what left it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from letta_code.agent.compacting.limits import PRESSURE_SHARE
from letta_code.agent.context import Section
from letta_code.agent.port import Status
from letta_code.commands.base import CommandContext, Outcome, command
from letta_code.commands.wording import ago, columns, tokens
from letta_code.config.settings import ContextSettings
from letta_code.core.events import ContextCompacted
from letta_code.core.messages import Value
from letta_code.safety.terminal import visible

SETTING, SHARE = "context.compact_at_tokens", "context.window_share"
_CELLS = 44  # of the bar
_EIGHTHS = " ▏▎▍▌▋▊▉"
_BIGGEST = 5
_TITLE, _BEGINNING = 30, 34  # characters

# The groups in the order in which they are sent, and how a person calls them.
_GROUPS = {
    "instructions": "instructions",
    "tools": "tools",
    "memory": "memory",
    "summary": "summary of what left",
    "reminder": "reminders",
    "user": "what you said",
    "assistant": "answers and calls",
    "tool": "tool results",
}
# Their parts are worth a line each (which block, which tool, which reminder it is): so many without `all`.
_TOLD_APART = {"tools": 3, "memory": 12, "reminder": 4, "tool": 5}
_COMPACTIONS = 8


@command("context", usage="[all]")
async def context(context: CommandContext, arguments: str) -> Outcome:
    """Show what fills the context: each part with its tokens, the line where it is compacted, what left it.

    `all` shows every part of each group; without it the biggest.  Memory blocks never leave; what left is still
    found by search, by you with `/search` and by the agent with conversation_search.
    """
    status = context.session.status
    store = context.store
    stored = await asyncio.to_thread(store.read, status.conversation_id)
    return Outcome(
        say=report(
            context.session.context_sections(),
            Line.of(status, context.settings.context),
            [one.event for one in stored if isinstance(one.event, ContextCompacted)],
            every=arguments.strip() == "all",
        )
    )


class Line(Value):
    """How full the context is: `used` tokens as the status bar shows them, compacted at `limit`, of a `window`."""

    used: int
    limit: int
    window: int = 0
    why: str = f"`{SETTING}` moves it"  # the limit is where it is

    @classmethod
    def of(cls, status: Status, settings: ContextSettings) -> Line:
        """The line of a session; the setting's where the session has none yet."""
        limit = status.compact_at or settings.compact_at_tokens
        if limit == settings.compact_at_tokens:
            return cls(used=status.context_tokens, limit=limit, window=status.window)
        why = f"the provider refused a longer request; `{SETTING}` lowers it"
        if limit == int(status.window * settings.window_share):
            why = f"{settings.window_share:.0%} of the model's window; `{SHARE}` moves it, `{SETTING}` lowers it"
        return cls(used=status.context_tokens, limit=limit, window=status.window, why=why)


def report(
    sections: Sequence[Section], line: Line, compactions: Sequence[ContextCompacted] = (), *, every: bool = False
) -> str:
    """The whole answer as Markdown; tables and bar stand in fences, so that nothing in them is markup."""
    if not sections:
        return f"The context is empty: nothing was sent yet. It is compacted at {line.limit:,} tokens ({SETTING})."
    total = sum(section.tokens for section in sections)
    table = ["```text", *bar(line), "", *_table(sections, total, every), "", *_biggest(sections), "```"]
    return "\n".join([*table, *_notes(line), *_left(compactions)])


# ---------------------------------------------------------------- the bar


def bar(line: Line) -> list[str]:
    """Three lines: used of the line where it is compacted, the marks below it, used of the window."""
    share = line.used / line.limit if line.limit else 0.0
    eighths = min(round(share * _CELLS * 8), _CELLS * 8)
    cells = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")
    at = round(PRESSURE_SHARE * _CELLS)
    empty = ["░"] * (_CELLS - len(cells))
    if len(cells) <= at:
        empty[at - len(cells)] = "┊"
    head = f"{tokens(line.used)} of {tokens(line.limit)} tokens, {share:.0%} of the way to compaction"
    mark = f"{' ' * at}└ {PRESSURE_SHARE:.0%}: {tokens(round(line.limit * PRESSURE_SHARE))}, the agent is told to save"
    rows = [head, f"{cells}{''.join(empty)}▏{tokens(line.limit)}", mark]
    if line.window:
        rows.append(f"The model's window has {tokens(line.window)}: {line.used / line.window:.0%} is used.")
    return rows


# ---------------------------------------------------------------- the parts


def _table(sections: Sequence[Section], total: int, every: bool) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for kind, name in _GROUPS.items():
        found = [section for section in sections if section.kind == kind]
        if not found:
            continue
        size = sum(section.tokens for section in found)
        several = f" ({len(found)})" if len(found) > 1 else ""
        rows.append((name + several, tokens(size), _percent(size, total), "▇" * round(20 * size / total)))
        if kind in _TOLD_APART:
            rows += _parts(found, total, len(found) if every else _TOLD_APART[kind])
    return columns(rows, right=(1, 2))


def _parts(found: Iterable[Section], total: int, most: int) -> list[tuple[str, ...]]:
    """The parts of a group by title, the biggest first."""
    sizes = _by_title(found)
    ordered = sorted(sizes.items(), key=lambda item: -sum(item[1]))
    shown = ordered if len(ordered) <= most + 1 else ordered[:most]
    rows: list[tuple[str, ...]] = []
    for title, counts in shown:
        several = f" x {len(counts)}" if len(counts) > 1 else ""
        rows.append((f"  {_cut(title, _TITLE)}{several}", tokens(sum(counts)), _percent(sum(counts), total), ""))
    if rest := ordered[len(shown) :]:
        size = sum(sum(counts) for _, counts in rest)
        rows.append((f"  {len(rest)} more (/context all)", tokens(size), _percent(size, total), ""))
    return rows


def _by_title(found: Iterable[Section]) -> Mapping[str, list[int]]:
    sizes: dict[str, list[int]] = {}
    for section in found:
        sizes.setdefault(section.title.removeprefix("Result of "), []).append(section.tokens)
    return sizes


def _biggest(sections: Sequence[Section]) -> list[str]:
    """The messages that a person may want to get rid of."""
    worth = sum(section.tokens for section in sections) / 100
    messages = [section for section in sections if section.seq and section.tokens >= worth]
    if not messages:
        return []
    messages.sort(key=lambda section: -section.tokens)
    rows = [
        (f"  event {one.seq}", tokens(one.tokens), _cut(one.title, 20), _cut(one.text, _BEGINNING))
        for one in messages[:_BIGGEST]
    ]
    return ["the biggest messages", *columns(rows, right=(1,))]


def _percent(size: int, total: int) -> str:
    share = size / total if total else 0.0
    return f"{share:.0%}" if share >= 0.01 or not size else "<1%"


def _cut(text: str, width: int) -> str:
    line = " ".join(visible(text[: width * 8]).split())
    return line if len(line) <= width else line[: width - 1] + "…"


# ---------------------------------------------------------------- below the table


def _notes(line: Line) -> list[str]:
    return [
        "",
        f"The line is at {line.limit:,} tokens: {line.why}, in `~/.letta/config.yaml`. `/compact` makes room now.",
    ]


def _left(compactions: Sequence[ContextCompacted]) -> list[str]:
    """What was evicted, when and how."""
    if not compactions:
        return ["", "Nothing has left the context yet."]
    rows = [
        (
            ago(one.at),
            f"{one.evicted} up to event {one.first_kept_seq - 1}",
            f"{tokens(one.tokens_before)} → {tokens(one.tokens_after)}",
            f"{one.method}, {one.reason}",
        )
        for one in compactions[-_COMPACTIONS:]
    ]
    times = "once" if len(compactions) == 1 else f"{len(compactions)} times"
    evicted = sum(one.evicted for one in compactions)
    return [
        "",
        f"Messages left the context {times}, {evicted} in all:",
        "```text",
        *columns(rows, right=(2,)),
        "```",
        *_saved(compactions[-1]),
        "They are kept and still found: `/search WORDS`, and the agent by conversation_search.",
    ]


def _saved(last: ContextCompacted) -> list[str]:
    """What the newest compaction says of itself."""
    said: list[str] = []
    if last.kept:
        said.append(f"The last one kept {len(last.kept)} items that must not be lost.")
    if last.put_back:
        listed = "; ".join(_cut(item, 60) for item in last.put_back[:5])
        said.append(f"{len(last.put_back)} were put back word for word: {listed}.")
    if last.note:
        said.append(last.note)
    return [" ".join(said), ""] if said else []
