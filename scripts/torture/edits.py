"""Random edits through the real Edit, Write and ApplyPatch on a real workspace, compared with a byte oracle."""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import edit_oracle as oracle
from edit_faults import FAULTS, planted
from edit_files import KINDS, fresh_file, fresh_text

from letta_code.core.errors import LettaError, ToolError
from letta_code.core.requests import Answer, Choice, Unanswered
from letta_code.llm.model import ModelInfo, ToolSpec
from letta_code.memory.desk import Desk
from letta_code.safety.containment import Grant
from letta_code.safety.taint import Origin, Taints
from letta_code.safety.vault import Vault
from letta_code.tools.apply_patch import ApplyPatch
from letta_code.tools.base import Tool, ToolResult
from letta_code.tools.edit import Edit
from letta_code.tools.read import Read
from letta_code.tools.write import Write
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import Handle

EDITS_A_FILE = 25
MODES = (0o644, 0o755, 0o600, 0o664)


class Seen:
    """Versions by real path."""

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}

    def sha_of(self, path: str) -> str | None:
        return self.versions.get(path)


class Context:
    """A `ToolContext` without a person."""

    call_id = "call"
    state: Mapping[str, str] = {}
    deferred: Sequence[ToolSpec] = ()
    model = ModelInfo(name="torture")
    seq = 1
    approved = True
    confirmed = False
    context_from = 0
    grant = Grant()
    taints = Taints()
    origin = Origin()
    vault = Vault()

    def __init__(self, root: str) -> None:
        self.workspace = LocalWorkspace(root, root)
        self.seen = Seen()
        self.handles: Mapping[str, Handle] = {}

    @property
    def memory(self) -> Desk:
        """Files are edited here, no memory."""
        raise ToolError("There is no memory in this torture.")

    def output(self, text: str) -> None:
        """Nobody listens."""

    async def ask(self, question: str, choices: tuple[Choice, ...] = (), *, several: bool = False) -> Answer:
        return Unanswered(reason="nobody is there")

    async def call(self, tool: Tool[Any], args: Any) -> ToolResult:
        """What the loop does around a tool."""
        wanted = await tool.operations(args, self.workspace, {})
        self.handles = {one.handle.given: one.handle for one in wanted if one.handle is not None}
        result: ToolResult = await tool.run(args, self)
        for file in result.files:
            self.seen.versions[file.path] = file.sha
        return result


class Outcome(NamedTuple):
    """`verdict` is edited, refused, wrong (bytes differ from the oracle) or stubborn (refused what it should do)."""

    kind: str
    tool: str
    verdict: str
    story: str = ""


class Plan(NamedTuple):
    """One call and what must come of it; `expected` None: refused and the file as before."""

    tool: str
    args: dict[str, Any]
    expected: bytes | None
    also: Callable[[], None] | None = None  # happens between reading and editing


class Torturer:
    """Edits files of one folder at random."""

    def __init__(self, folder: str, seed: int) -> None:
        self.random = random.Random(seed)
        self.folder = Path(folder)
        self.context = Context(folder)
        self.tools: dict[str, Tool[Any]] = {tool.name: tool for tool in (Edit(), Write(), ApplyPatch())}
        self.read = Read()

    async def run(self, count: int) -> list[Outcome]:
        """`count` edits."""
        found: list[Outcome] = []
        while len(found) < count:
            found += await self._file(min(EDITS_A_FILE, count - len(found)))
        return found

    async def _file(self, count: int) -> list[Outcome]:
        kind = self.random.choice(KINDS)
        path = self.folder / "file"
        mode = self.random.choice(MODES)
        await self._renew(path, kind, mode)
        found: list[Outcome] = []
        for _ in range(count):
            before = path.read_bytes()
            if len(before) > 400_000 or not oracle.opened(before).text:
                await self._renew(path, kind, mode)
                before = path.read_bytes()
            outcome = await self._one(kind, path, before)
            if path.stat().st_mode & 0o7777 != mode:
                outcome = outcome._replace(verdict="wrong", story="mode bits were lost")
            found.append(outcome)
            if outcome.verdict != "edited" and path.read_bytes() != before:  # a stale or a wrong one
                await self._renew(path, kind, mode)
        return found

    async def _renew(self, path: Path, kind: str, mode: int) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(fresh_file(self.random, kind))
        path.chmod(mode)
        await self.context.call(self.read, self.read.args(path="file"))

    async def _one(self, kind: str, path: Path, before: bytes) -> Outcome:
        plan = self._plan(before)
        stale = self.random.random() < 0.02
        if stale:
            # Something else changes the file between reading and editing: whatever is wanted must be refused.
            before += b"\n#"  # also leaves a UTF-16 file damaged
            path.write_bytes(before)
        expected = None if stale else plan.expected
        try:
            result = await self.context.call(self.tools[plan.tool], self.tools[plan.tool].args(**plan.args))
            refused = result.is_error
        except LettaError:
            refused = True
        except Exception as error:  # noqa: BLE001 - a crash of a tool is what is looked for
            return Outcome(kind, plan.tool, "wrong", f"{error!r}\n{_story(plan, before, b'', expected)}")
        after = path.read_bytes()
        verdict = _verdict(before, after, expected, refused=refused)
        story = "" if verdict in ("edited", "refused") else _story(plan, before, after, expected)
        return Outcome(kind=kind, tool=plan.tool, verdict=verdict, story=story)

    def _plan(self, data: bytes) -> Plan:
        chance = self.random.random()
        if chance < 0.75:
            return self._edit(data)
        return self._write(data) if chance < 0.8 else self._patch(data)

    def _edit(self, data: bytes) -> Plan:
        text = oracle.opened(data).text
        start, end = self._stretch(text)
        old = text[start:end]
        if self.random.random() < 0.9:
            old = old.replace("\r\n", "\n").replace("\r", "\n")  # as a model sees and writes it
        new = self._changed(old)
        if self.random.random() < 0.1:
            old = self._misremembered(old)
        every = self.random.random() < 0.15
        expected = oracle.edit(data, old, new, every=every) if old and old != new else None
        return Plan("Edit", {"path": "file", "old": old, "new": new, "replace_all": every}, expected)

    def _stretch(self, text: str) -> tuple[int, int]:
        """A place that does not cut a CRLF in two."""
        start = self.random.randrange(len(text))
        length = self.random.choice((1, 3, 10, 30, 30, 80, 80, 200, 1000))
        end = min(start + self.random.randint(1, length), len(text))
        if text[start - 1 : start + 1] == "\r\n" and start:
            start -= 1
        if text[end - 1 : end + 1] == "\r\n":
            end += 1
        return start, end

    def _changed(self, old: str) -> str:
        lines = old.split("\n")
        at = self.random.randrange(len(lines))
        match self.random.randrange(7):
            case 0:
                return ""
            case 1:
                return fresh_text(self.random)
            case 2:
                lines.insert(at, fresh_text(self.random))
            case 3:
                del lines[at]
            case 4:
                lines[at] += self.random.choice((" ", "\t", "x", "é", "€", "\u2028", "🙂", "\r", "\\n"))
            case 5:
                lines[at:at] = [fresh_text(self.random), "", fresh_text(self.random)]
            case _:
                lines = [*lines, *lines]
        return self.random.choice(("\n", "\n", "\n", "\r\n")).join(lines)

    def _misremembered(self, old: str) -> str:
        at = self.random.randrange(len(old) + 1)
        return self.random.choice(
            (old + "x", old.expandtabs(), old.strip(), old.swapcase(), old[:at] + " " + old[at:], f"12:{old}", "")
        )

    def _write(self, data: bytes) -> Plan:
        content = "\n".join(fresh_text(self.random) for _ in range(self.random.randint(0, 6)))
        if self.random.random() < 0.2:
            content = content.replace("\n", "\r\n")
        if self.random.random() < 0.5:
            content += "\n"
        return Plan("Write", {"path": "file", "content": content}, oracle.write(data, content))

    def _patch(self, data: bytes) -> Plan:
        lines = [line.text for line in oracle.lines_in(oracle.opened(data).text)]
        hunks: list[list[oracle.Run]] = []
        at = 0
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            if at >= len(lines):
                break
            start = self.random.randrange(at, len(lines))
            hunk = self._hunk(lines[start : start + self.random.randint(1, 9)])
            hunks.append(hunk)
            at = start + sum(kind != "+" for kind, _ in hunk)
        body = "".join("@@\n" + "".join(f"{kind}{text}\n" for kind, text in hunk) for hunk in hunks)
        patch = f"*** Begin Patch\n*** Update File: file\n{body}*** End Patch"
        return Plan("ApplyPatch", {"patch": patch}, oracle.patch(data, hunks))

    def _hunk(self, lines: list[str]) -> list[oracle.Run]:
        hunk: list[oracle.Run] = []
        for line in lines:
            chance = self.random.random()
            if chance < 0.15:
                hunk.append(("+", fresh_text(self.random)))
            hunk.append(("-", line) if chance > 0.75 else (" ", line))
            if chance > 0.85:
                hunk.append(("+", line + "x"))
        if all(kind == " " for kind, _ in hunk):
            hunk.append(("+", fresh_text(self.random)))
        return hunk


def _verdict(before: bytes, after: bytes, expected: bytes | None, *, refused: bool) -> str:
    if refused:
        return "wrong" if after != before else "refused" if expected is None else "stubborn"
    return "edited" if expected is not None and after == expected else "wrong"


def _story(plan: Plan, before: bytes, after: bytes, expected: bytes | None) -> str:
    parts = [f"{plan.tool} {plan.args!r}"[:1500]]
    parts += [
        f"  {name}: {data!r}"[:600] for name, data in (("before", before), ("after", after), ("expected", expected))
    ]
    return "\n".join(parts)


def work(count: int, seed: int, fault: str) -> list[Outcome]:
    """One process's share, in a folder of its own in memory."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = tempfile.mkdtemp(prefix="letta-torture-", dir=memory)
    try:
        with planted(fault):
            return asyncio.run(Torturer(folder, seed).run(count))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(count: int, seed: int, jobs: int, fault: str = "") -> list[Outcome]:
    """`count` edits in `jobs` processes."""
    if jobs <= 1:
        return work(count, seed, fault)
    shares = [count // jobs + (index < count % jobs) for index in range(jobs)]
    with ProcessPoolExecutor(jobs) as pool:
        parts = pool.map(work, shares, [seed * 1000 + index for index in range(jobs)], [fault] * jobs)
        return [outcome for part in parts for outcome in part]


def table(found: Sequence[Outcome]) -> str:
    """Counts by kind of file and by tool."""
    rows = [f"{'':24}{'edited':>10}{'refused':>10}{'wrong':>8}{'stubborn':>10}"]
    groups: list[tuple[str, list[Outcome]]] = [(kind, [o for o in found if o.kind == kind]) for kind in KINDS]
    groups += [(tool, [o for o in found if o.tool == tool]) for tool in ("Edit", "Write", "ApplyPatch")]
    for name, outcomes in [*groups, ("all", list(found))]:
        count = Counter(outcome.verdict for outcome in outcomes)
        rows.append(
            f"{name:24}{count['edited']:>10,}{count['refused']:>10,}{count['wrong']:>8,}{count['stubborn']:>10,}"
        )
    return "\n".join(rows)


def main() -> int:
    """Exit code 0 only if every edit came out as the oracle says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--plant", choices=sorted(FAULTS), default="", help="put a fault in, to see that it is found")
    options = parser.parse_args()
    began = time.monotonic()
    found = run(options.count, options.seed, options.jobs, options.plant)
    seconds = time.monotonic() - began
    bad = [outcome for outcome in found if outcome.story]
    for outcome in bad[:5]:
        print(f"{outcome.verdict} on a {outcome.kind} file: {outcome.story}", file=sys.stderr)
    print(table(found))
    print(
        f"seed {options.seed}, {seconds:.0f} s, {len(found) / seconds:,.0f} edits/s, {len(bad)} not as the oracle says"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
