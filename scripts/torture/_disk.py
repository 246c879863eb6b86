"""Let every write of a scenario fail once, in every way, and look at what is left; then fill a real small disk."""

from __future__ import annotations

import argparse
import asyncio
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # the checkout: letta_code as it is here, and the tests' model server

from _disk_faults import DISK, KINDS, install  # noqa: E402 - after the path is set
from _disk_plants import PLANTS, Plant  # noqa: E402
from _disk_real import Real, fill_and_free  # noqa: E402
from _disk_scenario import Scenario, script  # noqa: E402
from _disk_verdict import WRONGS, Verdict, look  # noqa: E402

from letta_code.agent import ledger  # noqa: E402

NOTHING = "nothing (the pass made fewer writes)"
SHARE = 16  # points between two looks at the clock
_PLANTED: list[str] = []  # in this process


class Point(NamedTuple):
    """One injected fault: its kind and the number of the write that it meets, of those with `where` in their path."""

    kind: str
    at: int
    where: str


def one_pass(scratch: Path, point: Point | None) -> Scenario:
    """Play the scenario in a fresh folder with one fault, or with none."""
    root = Path(tempfile.mkdtemp(dir=scratch))
    scenario = Scenario(root)
    scenario.work.mkdir()
    scenario.script.write_text(script())
    DISK.watch(str(root) + "/")
    if point:
        DISK.arm(point.kind, point.at, point.where)
    asyncio.run(scenario.play())
    DISK.make_room()
    return scenario


def judge(verdict: Verdict, scenario: Scenario, point: Point, *, git: bool) -> None:
    """Look at one pass and remove what it left, unless something is wrong with it."""
    struck, where = list(DISK.struck), f"{point.kind} at {point.at}"
    DISK.watch("")
    if not struck:
        verdict.struck[NOTHING] += 1
    else:
        verdict.struck[struck[0].split("/")[0].strip()] += 1
        verdict.told[
            scenario.seen.said[0].split(":")[0] if scenario.seen.said else "nobody, and nothing is missing"
        ] += 1
    look(verdict, scenario, f"{where} ({struck[0] if struck else '-'})", git=git)
    shutil.rmtree(scenario.script.parent)


def _share(task: tuple[Sequence[Point], Path, str]) -> tuple[Verdict, int]:
    points, scratch, plant = task
    _prepare(plant)
    verdict = Verdict()
    for number, point in enumerate(points):
        judge(verdict, one_pass(scratch, point), point, git=number % 5 == 0)
    return verdict, len(points)


def _prepare(plant: str) -> None:
    for name in [name for name in os.environ if name.startswith("LETTA_")]:
        del os.environ[name]  # a person's own settings have no place here
    ledger.STORAGE_RETRY_SECONDS = 0.02  # else each point would cost a second
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    install()
    if plant and plant not in _PLANTED:
        PLANTS[plant].fault()
        _PLANTED.append(plant)


def inject(scratch: Path, options: argparse.Namespace) -> tuple[Verdict, int, int]:
    """Count the writes, then fail them; the verdict, how many writes there are and how many points were tried.

    Each share is spread over the whole scenario, so what is left out when the time is over is spread too.
    """
    end = time.monotonic() + options.seconds if options.seconds else float("inf")
    places = _in_process(_places, scratch, options.plant or "")
    count = len(places)
    kinds = [kind for kind in options.kinds.split(",") if kind] or KINDS
    aimed = sum(options.where in place for place in places)
    points = [Point(kind, at, options.where) for at in range(1, aimed + 1) for kind in kinds]
    if options.points and options.points < len(points):
        step = len(points) / options.points
        points = [points[int(number * step)] for number in range(options.points)]
    verdict, tried = Verdict(), 0
    parts = max(options.processes * 4, len(points) // SHARE)
    shares = [(points[n::parts], scratch, options.plant or "") for n in range(min(parts, len(points)))]
    with multiprocessing.get_context("spawn").Pool(options.processes) as pool:
        for part, size in pool.imap_unordered(_share, shares):
            verdict.add(part)
            tried += size
            if sys.stderr.isatty():
                print(f"\r{tried} of {len(points)} points", end="", file=sys.stderr)
            if time.monotonic() > end:
                print(f"The time was over after {tried} of {len(points)} points.")
                break
    return verdict, count, tried


def _in_process(work: Callable[[Path, str], list[str]], scratch: Path, plant: str) -> list[str]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, [scratch, plant])


def _places(scratch: Path, plant: str) -> list[str]:
    _prepare(plant)  # its writes are others
    scenario = one_pass(scratch, None)
    places = DISK.places
    DISK.watch("")
    verdict = Verdict()
    look(verdict, scenario, "without a fault", git=True)
    if not verdict.clean or scenario.seen.said:
        raise RuntimeError(f"the scenario itself fails: {verdict.findings} {scenario.seen.said}")
    return places


def aim(options: argparse.Namespace, plant: Plant) -> None:
    """Fail the writes in which a planted fault shows; what was said explicitly stands."""
    options.where = options.where or plant.where
    options.kinds = options.kinds or plant.kind


def main() -> int:
    """Run it and print the table; 1 when anything that must be 0 is not, 2 when nothing was tried."""
    parser = argparse.ArgumentParser(prog="scripts/torture/disk", description=__doc__)
    parser.add_argument("--points", type=int, default=0, help="how many faults at most, evenly spread (0: all)")
    parser.add_argument("--kinds", default="", help="of " + ", ".join(KINDS) + " (all)")
    parser.add_argument("--where", default="", help="only writes whose path holds this")
    parser.add_argument("--seconds", type=float, default=0, help="stop about then, and say how far it came (0: never)")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--no-real", action="store_true", help="leave the real small filesystem out")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="break letta-code, to see that it is found")
    options = parser.parse_args()
    if unknown := [kind for kind in options.kinds.split(",") if kind and kind not in KINDS]:
        parser.error(f"no such kind: {', '.join(unknown)}; there are {', '.join(KINDS)}")
    if options.plant:
        aim(options, PLANTS[options.plant])
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="letta-disk-") as scratch:
        verdict, count, points = inject(Path(scratch), options)
        real = None if options.no_real else fill_and_free(Path(scratch))
    _print_table(verdict, count, points, real, time.monotonic() - began)
    if not points:
        print(f"Nothing was tried: no write has {options.where!r} in its path.  This says nothing.")
        return 2
    if not verdict.struck.keys() - {NOTHING}:
        print("No fault met a write.  This says nothing.")
        return 2
    return 0 if verdict.clean and (real is None or not real.wrongs) else 1


def _print_table(verdict: Verdict, count: int, points: int, real: Real | None, seconds: float) -> None:
    print(f"{points} faults in a scenario of {count} writes, {seconds:.0f} s")
    for name, number in verdict.struck.most_common():
        print(f"  failed: {name:38}{number:6}")
    for name, number in verdict.told.most_common():
        print(f"  told by: {name:37}{number:6}")
    for name, meaning in WRONGS.items():
        print(f"{name:12}{verdict.wrongs[name]:8}   {meaning}")
    for finding in verdict.findings:
        print(f"  {finding}")
    if real is None:
        print("real filesystem: left out")
        return
    print(f"real filesystem: {real.what}")
    for line in real.lines:
        print(f"  {line}")
    for line in real.wrongs:
        print(f"  WRONG: {line}")


if __name__ == "__main__":
    sys.exit(main())
