"""Close the terminal, send signals, stop and continue, resize: what real letta-code processes leave behind."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))  # the checkout: letta_code as it is here, and the tests' terminal

from _terminal_ends import all_ends  # noqa: E402 - after the path is set
from _terminal_lab import FACES, WRONGS, Verdict  # noqa: E402
from _terminal_planted import AIMS, PLANTS  # noqa: E402
from _terminal_screen import sizes, stops  # noqa: E402

PARTS = ("ends", "stops", "resizes")


def main() -> int:
    """Run it and print the table; 1 when anything that must be 0 is not, 2 when nothing was tried."""
    parser = argparse.ArgumentParser(prog="scripts/torture/terminal", description=__doc__)
    parser.add_argument("--stops", type=int, default=100, help="Ctrl-Z and fg while idle, and as many in a run (100)")
    parser.add_argument("--resizes", type=int, default=200, help="resizes a storm, at 40 a second (200)")
    parser.add_argument("--only", choices=PARTS, help="one part")
    parser.add_argument("--faces", default=",".join(FACES), help=f"of the ends: {','.join(FACES)}")
    parser.add_argument("--seed", type=int, default=20261121, help="of the sizes")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="run letta-code with a fault, to see that it is found")
    options = parser.parse_args()
    faces = [face for face in options.faces.split(",") if face]
    if unknown := [face for face in faces if face not in FACES]:
        parser.error(f"no such face: {', '.join(unknown)}; there are {', '.join(FACES)}")
    if options.plant:  # where it shows by itself; what was said explicitly stands
        options.only = options.only or AIMS[options.plant]
    for name in [name for name in os.environ if name.startswith("LETTA_")]:
        del os.environ[name]  # a person's own settings have no place here
    verdict, plant, began = Verdict(), options.plant or "", time.monotonic()
    with tempfile.TemporaryDirectory(prefix="letta-terminal-") as folder:
        scratch = Path(folder)
        if options.only in (None, "ends"):
            all_ends(scratch, verdict, plant, faces)
        if options.only in (None, "stops"):
            stops(scratch, verdict, plant, options.stops)
        if options.only in (None, "resizes"):
            sizes(scratch, verdict, plant, options.resizes, options.seed)
    _print_table(verdict, time.monotonic() - began)
    if not verdict.done.total():
        print("Nothing was tried: this says nothing.")
        return 2
    return 1 if verdict.wrongs.total() else 0


def _print_table(verdict: Verdict, seconds: float) -> None:
    print(f"terminal torture, {seconds:.0f} s")
    for name, count in verdict.done.items():
        print(f"{name:32}{count:8}")
    print(f"{'all gone after, at most':32}{verdict.longest:8.2f} s")
    for name, meaning in WRONGS.items():
        print(f"{name:32}{verdict.wrongs[name]:8}   {meaning}")
    for finding in verdict.findings:
        print(f"  {finding}")


if __name__ == "__main__":
    sys.exit(main())
