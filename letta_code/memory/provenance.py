"""Provenance: who wrote what into memory, kept as trailers of each commit."""

from __future__ import annotations

import re
from collections.abc import Mapping

from letta_code.core.ids import utc_time
from letta_code.core.messages import Value
from letta_code.host.memory_git import Commit
from letta_code.memory.block import one_line

USER, AGENT, PROGRAM, REFLECTION = "user", "agent", "letta", "reflection"
TRUSTED, UNTRUSTED = "trusted", "untrusted"
RENAMED = "Letta-Renamed"  # trailer: `old path>new path`, one pair or several with spaces between
MADE_BY, _SINCE = "Letta-Reflection", "Letta-Since"
_TRAILER = re.compile(r"(Letta-[A-Za-z-]+): (.*)")


class Provenance(Value):
    """Where an edit comes from.

    `source` is user, agent, reflection (the agent reading a conversation again, behind the scenes), letta (the program
    itself), tool:<id> or web:<url>; `trust` is trusted or untrusted;
    `conversation` and `seq` name the event; `reason` is one line of why, for people.  `reflection` is the id of the
    reflection that did it, which read the events from `since` to `seq`.
    """

    source: str = AGENT
    conversation: str = ""
    seq: int = 0
    trust: str = TRUSTED
    reason: str = ""
    reflection: str = ""
    since: int = 0

    @property
    def by_person(self) -> bool:
        """Whether a person did it: then nothing is asked."""
        return self.source == USER

    @property
    def may_change_protected(self) -> bool:
        """Read-only blocks are the person's and the program's."""
        return self.source in (USER, PROGRAM)

    @property
    def named(self) -> str:
        """As a person or model reads it: `the person`, `the agent in conv-x at event 12`."""
        names = {USER: "the person", AGENT: "the agent", PROGRAM: "letta-code", REFLECTION: "the reflection"}
        kind, _, tool = self.source.partition(":")
        who = f"the agent's {tool}" if kind == "tool" else names.get(self.source, self.source)
        where = f" in {self.conversation}" if self.conversation else ""
        if self.since:
            return f"{who}{where}, which read events {self.since} to {self.seq}"
        return who + where + (f" at event {self.seq}" if self.seq else "")


class Change(Value):
    """One commit of memory, as history shows it.

    `labels` are the blocks it changed where it says so; `at` is UTC; `undoes` is the commit that it took back;
    `approved_by` who said yes to untrusted text; `renamed` the files that it renamed, old path → new path.
    """

    commit: str
    at: str
    summary: str
    provenance: Provenance
    labels: tuple[str, ...] = ()
    undoes: str = ""
    approved_by: str = ""
    renamed: Mapping[str, str] = {}


def message(summary: str, by: Provenance, more: Mapping[str, str] | None = None) -> str:
    """The message of a commit: one line, the reason, and the trailers."""
    trailers = {
        "Letta-Conv": by.conversation,
        "Letta-Seq": str(by.seq) if by.seq else "",
        "Letta-Source": by.source,
        "Letta-Trust": by.trust,
        MADE_BY: by.reflection,
        _SINCE: str(by.since) if by.since else "",
        **(more or {}),
    }
    lines = [one_line(summary, 100) or "memory", ""]
    if by.reason:
        lines += [one_line(by.reason, 300), ""]
    lines += [f"{name}: {one_line(value, 1000)}" for name, value in trailers.items() if value]
    return "\n".join(lines)


def trailers(commit: Commit) -> dict[str, str]:
    """The trailers of a commit: the `Letta-…` lines of its last paragraph."""
    last = commit.message.rstrip().rpartition("\n\n")[2]
    found = (_TRAILER.fullmatch(line) for line in last.split("\n"))
    return {match[1]: match[2] for match in found if match}


def change_of(commit: Commit) -> Change:
    """A commit as a change; one without our trailers was made by a person's git."""
    said = trailers(commit)
    seq, since = said.get("Letta-Seq", ""), said.get(_SINCE, "")
    by = Provenance(
        source=said.get("Letta-Source", USER),
        conversation=said.get("Letta-Conv", ""),
        seq=int(seq) if seq.isdecimal() else 0,
        trust=said.get("Letta-Trust", TRUSTED),
        reflection=said.get(MADE_BY, ""),
        since=int(since) if since.isdecimal() else 0,
    )
    return Change(
        commit=commit.sha,
        at=utc_time(commit.time),
        summary=commit.message.partition("\n")[0],
        provenance=by,
        labels=tuple(said.get("Letta-Blocks", "").split()),
        undoes=said.get("Letta-Undo", ""),
        approved_by=said.get("Letta-Approved-By", ""),
        renamed=renames(commit),
    )


def renames(commit: Commit) -> dict[str, str]:
    """Old path → new path of what a commit renamed."""
    pairs = (pair.partition(">") for pair in trailers(commit).get(RENAMED, "").split())
    return {old: new for old, _, new in pairs if new}


def author_of(by: Provenance, agent: str) -> str:
    """The author's name that git shows."""
    if by.by_person:
        return "Person"
    return "letta-code" if by.source == PROGRAM else agent
