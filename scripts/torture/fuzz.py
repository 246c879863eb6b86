"""Fuzzed arguments for the parser of every tool: no crash, nothing accepted that the oracle refuses, short errors."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from random import Random
from typing import Any

import fuzz_oracle as oracle
import msgspec
from fuzz_texts import text_for

from letta_code.core.errors import ToolError
from letta_code.tools.base import Tool, load_tools

ERROR_LIMIT = 300  # characters of an error
# Each error tells where: the schema path, the list of fields, or that the text is no JSON at all.
_SAYS_WHERE = ("`$", "Required:", "not valid JSON", "nested too deep")
COLUMNS = ("accepted", "refused", "crashed", "wrongly run", "needlessly refused", "bad error")


def judge(tool: Tool[Any], text: str) -> tuple[str, str]:
    """The column that a text belongs to, and what to tell of it."""
    try:
        args = tool.parse(text)
    except ToolError as error:
        message = str(error)
        if len(message) > ERROR_LIMIT or not any(sign in message for sign in _SAYS_WHERE):
            return "bad error", message
        return ("needlessly refused", message) if _allowed(tool, text) else ("refused", "")
    except Exception as error:  # noqa: BLE001 - a crash of the parser is what is looked for
        return "crashed", repr(error)
    try:
        value = oracle.value_of(text or "{}")
        oracle.check_struct(tool.args, value)
    except (oracle.NotJson, oracle.Wrong) as error:
        return "wrongly run", f"{error!r} but got {args!r}"
    if not _same(args, value):
        return "wrongly run", f"got {args!r}"
    try:
        tool.title(args)
    except Exception as error:  # noqa: BLE001 - as above
        return "crashed", f"title: {error!r}"
    return "accepted", ""


def _allowed(tool: Tool[Any], text: str) -> bool:
    """Whether it had to be accepted.  A key that stands twice may be refused or not: JSON leaves it open."""
    try:
        value = oracle.value_of(text or "{}")
        oracle.check_struct(tool.args, value)
    except (oracle.NotJson, oracle.Wrong):
        return False
    return not isinstance(value, oracle.Twice)


def _same(args: Any, value: Any) -> bool:
    """Whether the arguments hold what the JSON says, no more and no less than the defaults."""
    if isinstance(args, msgspec.Struct):
        return all(_same(getattr(args, name), value[name]) for name in oracle.fields_of(type(args)) if name in value)
    if isinstance(args, list | tuple):
        return len(args) == len(value) and all(map(_same, args, value))
    if isinstance(args, float):
        return args == float(value)
    return bool(args == value) and type(args) is type(value)


def _repair() -> None:
    """The parser closes what a torn text left open, as some harnesses do."""
    parse = Tool[Any].parse

    def repairing(self: Tool[Any], arguments: str) -> Any:
        return parse(self, arguments if arguments.endswith("}") else arguments + '"}')

    Tool.parse = repairing


PLANTS = {"repair": _repair}


def work(count: int, seed: int, plant: str = "") -> tuple[dict[str, Counter[str]], list[str]]:
    """One process's share: counts by tool, and the stories of what went wrong."""
    if plant:
        PLANTS[plant]()
    random = Random(seed)
    tools = list(load_tools().values())
    counts: dict[str, Counter[str]] = {tool.name: Counter() for tool in tools}
    stories: list[str] = []
    for index in range(count):
        tool = tools[index % len(tools)]
        text = text_for(random, tool.args)
        column, story = judge(tool, text)
        counts[tool.name][column] += 1
        if story:
            stories.append(f"{tool.name}: {column}: {text[:300]!r}: {story[:400]}")
    return counts, stories[:20]


def run(count: int, seed: int, jobs: int, plant: str = "") -> tuple[dict[str, Counter[str]], list[str]]:
    """`count` texts in `jobs` processes."""
    if jobs <= 1:
        return work(count, seed, plant)
    shares = [count // jobs + (index < count % jobs) for index in range(jobs)]
    total: dict[str, Counter[str]] = {}
    stories: list[str] = []
    with ProcessPoolExecutor(jobs) as pool:
        for counts, told in pool.map(work, shares, [seed * 1000 + index for index in range(jobs)], [plant] * jobs):
            for name, counter in counts.items():
                total.setdefault(name, Counter()).update(counter)
            stories += told
    return total, stories


def table(counts: Mapping[str, Counter[str]]) -> str:
    """Counts by tool."""
    rows = [f"{'':24}" + "".join(f"{column:>20}" for column in COLUMNS)]
    whole: Counter[str] = Counter()
    for name, counter in counts.items():
        whole.update(counter)
        rows.append(f"{name:24}" + "".join(f"{counter[column]:>20,}" for column in COLUMNS))
    return "\n".join([*rows, f"{'all':24}" + "".join(f"{whole[column]:>20,}" for column in COLUMNS)])


def main() -> int:
    """Exit code 0 only if everything was accepted or refused rightly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--plant", choices=sorted(PLANTS), help="run with a fault, to see that it is found")
    options = parser.parse_args()
    began = time.monotonic()
    counts, stories = run(options.count, options.seed, options.jobs, options.plant or "")
    for story in stories[:20]:
        print(story, file=sys.stderr)
    print(table(counts))
    seconds = time.monotonic() - began
    print(f"seed {options.seed}, {seconds:.0f} s, {options.count / seconds:,.0f} texts/s")
    return 1 if stories else 0


if __name__ == "__main__":
    sys.exit(main())
