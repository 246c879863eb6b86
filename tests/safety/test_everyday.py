"""Everyday commands: of a corpus written down before the policy, few may ask where a sandbox confines."""

from __future__ import annotations

from pathlib import Path

from letta_code.safety.containment import Containment
from letta_code.safety.operations import ExecOperation
from letta_code.safety.policy import Policy
from letta_code.safety.rules import Rules

CORPUS = Path(__file__).with_name("corpus.txt")
MOST = 0.05  # of the corpus may ask
CONFINED = Containment(kind="bubblewrap", confines=True)


def commands() -> list[str]:
    """The commands of the corpus; a line that begins with `| ` goes on with the one above it."""
    found: list[str] = []
    for line in CORPUS.read_text(encoding="utf-8").splitlines():
        if line == "|" or line.startswith("| "):
            found[-1] += "\n" + line[2:]
        elif line and not line.startswith("#"):
            found.append(line)
    return found


def test_of_everyday_commands_at_most_one_in_twenty_asks() -> None:
    known = commands()
    assert len(known) >= 500 and len(set(known)) == len(known)
    policy = Policy("ask", Rules(), root="/w/app", home="/home/me", variables={}, containment=lambda: CONFINED)
    decided = [(text, policy.decide("Bash", ExecOperation(command=text, cwd="/w/app"))) for text in known]
    asked = [f"{text!r}: {decision.reason}" for text, decision in decided if decision.verdict != "allow"]
    print(f"{len(asked)} of {len(known)} ask ({len(asked) / len(known):.1%}):", *asked, sep="\n  ")
    assert len(asked) <= MOST * len(known)
