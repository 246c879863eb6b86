"""Play every provider fault against the real process and print what a person sees: the line and the exit code."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.headless.faults import FAULTS, Fault, Outcome, last_words, play, wrong


def main(quick: bool) -> int:
    """Print the table; 0 when every fault ended as it should."""
    chosen = [fault for fault in FAULTS if not (quick and fault.seconds)]
    longest = max(fault.seconds for fault in chosen)
    print(
        f"{len(chosen)} faults, each injected over HTTP into `letta-code -p`; about {longest + 20:.0f} s\n", flush=True
    )
    with ThreadPoolExecutor(len([fault for fault in chosen if fault.seconds]) + 3) as pool:
        slow_first = sorted(chosen, key=lambda fault: -fault.seconds)
        played = dict(zip([one.name for one in slow_first], pool.map(play, slow_first), strict=True))
    good = [_told(fault, played[fault.name]) for fault in chosen]
    print(f"\n{sum(good)} of {len(good)} as they should be")
    return 0 if all(good) else 1


def _told(fault: Fault, outcome: Outcome) -> bool:
    problems = wrong(fault, outcome)
    print(f"{'PASS' if not problems else 'FAIL'}  {fault.name}")
    print(f"      exit code {outcome.code}, {outcome.asked} requests, {outcome.seconds:.1f} s")
    for line in outcome.stderr.strip().splitlines()[-2:] if outcome.stderr.strip() else [last_words(outcome)]:
        print(f"      {line[:200]}")
    for problem in problems:
        print(f"      WRONG: {problem}")
    return not problems


if __name__ == "__main__":
    sys.exit(main("--quick" in sys.argv[1:]))
