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

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # the checkout: letta_code as it is here, and the tests' fakes

from _mutate_everyday import Day, day  # noqa: E402 - after the path is set
from _mutate_files import choose, copy_home, mutate  # noqa: E402
from _mutate_home import make  # noqa: E402
from _mutate_kept import Bad, look_for_bad, remember  # noqa: E402
from _mutate_plants import PLANTS  # noqa: E402
from _mutate_verdict import WRONGS, Verdict, look, surviving  # noqa: E402

LIMIT = 20.0  # seconds for a day, which takes a fraction of one


def one_round(verdict: Verdict, source: Path, scratch: Path, seed: int) -> None:
    """A copy of the home, its mutations, a day with it, the verdict."""
    rng = random.Random(seed)
    root = Path(tempfile.mkdtemp(dir=scratch))
    home, project = root / "home", source.parent / "project"
    copy_home(source, home)
    done: list[str] = []
    bad: list[Bad] = []
    for path in choose(home, rng):
        if not path.is_file() or path.is_symlink():
            continue
        name = mutate(path, rng, home)
        verdict.mutations[name.split(" with ")[0]] += 1
        done.append(f"{path.relative_to(home)} {name}")
        bad.append(remember(home, path))
    copy_home(home, root / "copy") if not any(_odd(one) for one in home.rglob("*")) else _copy_plain(
        home, root / "copy"
    )
    survivors = surviving(root / "copy")
    where = f"seed {seed} ({'; '.join(done)})"
    began = time.monotonic()
    told = _day(verdict, home, project, where)
    verdict.slowest = max(verdict.slowest, time.monotonic() - began)
    verdict.rounds += 1
    if told is not None:
        look(verdict, told, survivors, where)
        look_for_bad(verdict, home, bad, told, where)
    shutil.rmtree(root, ignore_errors=True)


def _odd(path: Path) -> bool:
    return path.is_symlink() or not (path.is_file() or path.is_dir())


def _copy_plain(home: Path, target: Path) -> None:
    """Without pipes and links, which hold no copy of anything."""

    def odd(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if _odd(Path(folder, name))]

    shutil.copytree(home, target, ignore=odd)


def _day(verdict: Verdict, home: Path, project: Path, where: str) -> Day | None:
    faulthandler.dump_traceback_later(LIMIT * 3, exit=True)  # what even cancelling does not end
    try:
        return asyncio.run(asyncio.wait_for(day(home, project), LIMIT))
    except TimeoutError:
        verdict.find("hung", where)
        return None
    finally:
        faulthandler.cancel_dump_traceback_later()


def _in_process(seeds: range, source: Path, scratch: Path, plant: str) -> Verdict:
    """A share in a process of its own; one that dies (a hang that nothing ends) is a finding, not the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_share, args=(seeds, source, scratch, plant, theirs))
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
            verdict.add(_in_process(rest, source, scratch, plant))
    return verdict


def _share(seeds: range, source: Path, scratch: Path, plant: str, told: Connection) -> None:
    os.environ["HOME"] = str(scratch)
    for name in [name for name in os.environ if name.startswith("LETTA_")]:
        del os.environ[name]  # a person's own settings have no place here
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    if plant:
        PLANTS[plant]()
    for seed in seeds:
        verdict = Verdict()
        one_round(verdict, source, scratch, seed)
        for finding in verdict.findings:  # at once: whoever watches need not wait for the table
            print(f"\r{finding}", file=sys.stderr, flush=True)
        told.send(verdict)


def main() -> int:
    """Run it and print the table; 1 when anything that must be 0 is not."""
    parser = argparse.ArgumentParser(prog="scripts/torture/mutate", description=__doc__)
    parser.add_argument("--rounds", type=int, default=500, help="mutated homes (500)")
    parser.add_argument("--seed", type=int, default=0, help="of the first round; a round is its seed alone")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--plant", choices=sorted(PLANTS), help="break letta-code, to see that it is found")
    options = parser.parse_args()
    began = time.monotonic()
    verdict = Verdict()
    with tempfile.TemporaryDirectory(prefix="letta-mutate-") as name:
        scratch = Path(name)
        make(scratch / "home", scratch / "project")
        seeds = range(options.seed, options.seed + options.rounds)
        parts = [seeds[at : at + 25] for at in range(0, len(seeds), 25)]
        with ThreadPoolExecutor(options.processes) as pool:
            work = [pool.submit(_in_process, part, scratch / "home", scratch, options.plant or "") for part in parts]
            for done in as_completed(work):
                verdict.add(done.result())
                if sys.stderr.isatty():
                    print(f"\r{verdict.rounds} of {options.rounds} rounds", end="", file=sys.stderr)
    _print_table(verdict, options.seed, time.monotonic() - began)
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
