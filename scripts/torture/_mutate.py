"""Mutate files of a lived-in home, do the everyday things with it, and look at what a person met; again and again."""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import logging
import multiprocessing
import os
import random
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # the checkout: letta_code as it is here, and the tests' fakes

from _mutate_everyday import Day, day  # noqa: E402 - after the path is set
from _mutate_files import ELSEWHERE, ENDLESS, HOME, WORDS, choose, copy_home, make_outside, mutate  # noqa: E402
from _mutate_home import make  # noqa: E402
from _mutate_kept import look_for_bad, remember  # noqa: E402
from _mutate_plants import PLANTS  # noqa: E402
from _mutate_verdict import WRONGS, Truth, Verdict, look, look_for_silence, surviving  # noqa: E402

LIMIT = 20.0  # seconds for a day, which takes a fraction of one; three times as long where nothing else ends it


class Job(NamedTuple):
    """What every share of the work needs: the lived-in home, a folder for the copies, where findings are kept."""

    source: Path
    scratch: Path
    truth: Truth
    plant: str = ""
    keep: Path | None = None
    only: str = "*"
    limit: float = LIMIT


def one_round(verdict: Verdict, job: Job, seed: int) -> None:
    """A copy of the home, its mutations, a day with it, the verdict."""
    rng = random.Random(seed)
    root = Path(tempfile.mkdtemp(dir=job.scratch))
    home, project = root / HOME, job.source.parent / "project"
    copy_home(job.source, home)
    make_outside(root)
    done: list[str] = []
    names: dict[str, None] = {}
    for path in choose(home, rng, job.only):
        if not path.is_file() or path.is_symlink():
            continue
        name, _, other = mutate(path, rng, home).partition(" with ")
        verdict.mutations[name] += 1
        done.append(f"{path.relative_to(home)} {name}{other and f' with {other}'}")
        names.update(dict.fromkeys(one for one in (str(path.relative_to(home)), other) if one))
    # As they are after all mutations: what a swap moved on is looked for in its new place.
    bad = [remember(home, home / one) for one in names]
    copy_home(home, root / "copy")
    copies = surviving(root / "copy")
    if job.keep:
        copy_home(home, root / "before")
    where = f"seed {seed} ({'; '.join(done)})"
    found = verdict.wrongs.total()
    began = time.monotonic()
    told = _day(verdict, home, project, where, job.limit)
    verdict.slowest = max(verdict.slowest, time.monotonic() - began)
    verdict.rounds += 1
    if told is not None:
        look(verdict, told, copies.all, job.truth.events, where)
        look_for_silence(verdict, told, copies, job.truth, mutated=[one.name for one in bad], where=where)
        look_for_bad(verdict, home, bad, told, where)
    if WORDS not in (root / ELSEWHERE).read_bytes():
        verdict.find("written over", where)
    if (root / ENDLESS).is_file():
        verdict.find("written over", f"{where}: a device")
    if job.keep and verdict.wrongs.total() > found:
        _keep(root, job.keep / f"seed-{seed}", project)
    shutil.rmtree(root, ignore_errors=True)


def _keep(root: Path, place: Path, project: Path) -> None:
    """The home of a finding as it was mutated, and as the day left it."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    copy_home(root / "before", place / HOME)
    copy_home(root / HOME, place / "after")
    shutil.copytree(project, place / "project")
    make_outside(place)


def _day(verdict: Verdict, home: Path, project: Path, where: str, limit: float) -> Day | None:
    faulthandler.dump_traceback_later(limit * 3, exit=True)  # what even cancelling does not end
    try:
        return asyncio.run(asyncio.wait_for(day(home, project), limit))
    except TimeoutError:
        verdict.find("hung", where)
        return None
    finally:
        faulthandler.cancel_dump_traceback_later()


def _in_process(seeds: range, job: Job) -> Verdict:
    """A share in a process of its own; one that dies (a hang that nothing ends) is a finding, not the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_share, args=(seeds, job, theirs))
    process.start()
    theirs.close()
    verdict = Verdict()
    try:
        while True:
            verdict.add(ours.recv())
    except EOFError:
        process.join()
    if process.exitcode:
        verdict.find("hung", f"the process ended with {process.exitcode} in seed {seeds[verdict.rounds]}")
        rest = seeds[verdict.rounds + 1 :]
        if rest:
            verdict.add(_in_process(rest, job))
    return verdict


def _share(seeds: range, job: Job, told: Connection) -> None:
    _settle(job.scratch)
    if job.plant:
        PLANTS[job.plant]()
    for seed in seeds:
        verdict = Verdict()
        one_round(verdict, job, seed)
        for finding in verdict.findings:  # at once: whoever watches need not wait for the table
            print(f"\r{finding}", file=sys.stderr, flush=True)
        told.send(verdict)


def _settle(scratch: Path) -> None:
    """Nothing of the person's own is used or touched."""
    os.environ["HOME"] = str(scratch)
    for name in [name for name in os.environ if name.startswith("LETTA_")]:
        del os.environ[name]  # a person's own settings have no place here
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)


def _truth(source: Path, scratch: Path) -> Truth:
    """What the home is before anything is done to it; a day with it must be a good one."""
    home = scratch / "untouched" / HOME
    copy_home(source, home)
    events = surviving(home).database
    copy_home(source, scratch / "lived" / HOME)
    lived = asyncio.run(day(scratch / "lived" / HOME, source.parent / "project"))
    if lived.crashes or lived.refused or not (events and lived.memory and all(lived.found.values())):
        raise SystemExit(f"The home is not right before it is mutated: {lived.crashes} {lived.refused} {lived.found}")
    return Truth(events, lived)


def _again(place: Path) -> int:
    """A day with a copy of a home that was kept, told as it goes."""
    with tempfile.TemporaryDirectory(prefix="letta-mutate-") as name:
        _settle(Path(name))
        copy_home(place / HOME, Path(name) / HOME)
        make_outside(Path(name))
        told = asyncio.run(asyncio.wait_for(day(Path(name) / HOME, place / "project"), LIMIT))
    print(*told.said, sep="\n")
    for name, why in told.refused.items():
        print(f"refused: {name}: {why}")
    print(*(f"crashed: {crash}" for crash in told.crashes), sep="\n")
    return 1 if told.crashes or told.refused else 0


def main() -> int:
    """Run it and print the table; 1 when anything that must be 0 is not, 2 when nothing was mutated."""
    parser = argparse.ArgumentParser(prog="scripts/torture/mutate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=500, help="mutated homes (500)")
    parser.add_argument("--seed", type=int, default=0, help="of the first round; a round is its seed alone")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--plant", choices=sorted(PLANTS), help="break letta-code, to see that it is found")
    parser.add_argument("--files", default="*", metavar="PATTERN", help="only these, such as 'letta.db*'")
    parser.add_argument("--limit", type=float, default=LIMIT, help=f"seconds of a day ({LIMIT:g})")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the home of each finding, as FOLDER/seed-N")
    parser.add_argument("--again", type=Path, metavar="FOLDER/seed-N", help="live a day with a home that was kept")
    options = parser.parse_args()
    if options.again:
        return _again(options.again.absolute())
    began = time.monotonic()
    verdict = Verdict()
    with tempfile.TemporaryDirectory(prefix="letta-mutate-") as name:
        scratch = Path(name)
        _settle(scratch)
        make(scratch / HOME, scratch / "project")
        truth = _truth(scratch / HOME, scratch)
        keep = options.keep.absolute() if options.keep else None
        job = Job(scratch / HOME, scratch, truth, options.plant or "", keep, options.files, options.limit)
        seeds = range(options.seed, options.seed + options.rounds)
        parts = [seeds[at : at + 25] for at in range(0, len(seeds), 25)]
        with ThreadPoolExecutor(options.processes) as pool:
            work = [pool.submit(_in_process, part, job) for part in parts]
            for done in as_completed(work):
                verdict.add(done.result())
                if sys.stderr.isatty():
                    print(f"\r{verdict.rounds} of {options.rounds} rounds", end="", file=sys.stderr)
    _print_table(verdict, options.seed, time.monotonic() - began)
    if options.keep and not verdict.clean:
        print(f"The homes of the findings are in {options.keep}; look at one with: --again {options.keep}/seed-N")
    if verdict.clean and not verdict.mutations.total():
        print("Nothing was mutated: this says nothing.")
        return 2
    return 0 if verdict.clean else 1


def _print_table(verdict: Verdict, seed: int, seconds: float) -> None:
    made = verdict.mutations.total()
    print(f"{made} mutations in {verdict.rounds} homes, {seconds:.0f} s ({made / seconds:.1f} a second), seed {seed}")
    if os.geteuid() == 0:
        print("run as root: `no rights` takes none away")
    for name, number in verdict.mutations.most_common():
        print(f"  {name:24}{number:7}")
    print(f"{'a person was told':26}{verdict.told:7}   rounds")
    print(f"{'opened':26}{verdict.opened:7}   conversations with a surviving copy")
    print(f"{'slowest day':26}{verdict.slowest:7.1f}   s")
    for name, meaning in WRONGS.items():
        print(f"{name:26}{verdict.wrongs[name]:7}   {meaning}")
    for finding in verdict.findings:
        print(f"  {finding}")


if __name__ == "__main__":
    sys.exit(main())
