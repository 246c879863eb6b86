"""Filters behind an allowed command: shortened output stays allowed, anything that does more does not."""

from __future__ import annotations

import pytest

from letta_code.safety.operations import ExecOperation
from letta_code.safety.policy import Policy
from letta_code.safety.rules import Rules, parse_rules


def verdict(command: str, *, deny: tuple[str, ...] = ()) -> str:
    rules = Rules.of([*parse_rules(["Bash(pytest *)", "Bash(make test)"], "allow"), *parse_rules(deny, "deny")])
    return (
        Policy("ask", rules, root="/w", home="/home/me")
        .decide("Bash", ExecOperation(command=command, cwd="/w"))
        .verdict
    )


@pytest.mark.parametrize(
    "command",
    [
        "pytest -q 2>&1 | tail -30",
        "pytest -q 2>&1 | tail -n 30",
        "make test 2>/dev/null",
        "make test > /dev/null 2>&1",
        "cd /w/sub && pytest -q | grep -v 'passed in' | head -5",
        'pytest -q | grep -E "FAILED|ERROR"',
        "pytest -q | sort | uniq -c | wc -l",
        "pytest -q |& tail -5",
    ],
)
def test_a_filter_that_only_shortens_changes_nothing(command: str) -> None:
    assert verdict(command) == "allow"


@pytest.mark.parametrize(
    "command",
    [
        "pytest -q | sh",
        "pytest -q | tee out.txt",
        "pytest -q | sort -o out.txt",
        "pytest -q | sort out.txt",
        "pytest -q | uniq a b",
        "pytest -q > out.txt 2>&1",
        "pytest -q | tail -f log",
        "pytest -q | head -5 /etc/passwd",
        "pytest -q | grep -f patterns x",
        "pytest -q | grep x /etc/passwd",
        "pytest -q | grep -r x",
        "pytest -q | grep --include=x y",
        "pytest -q | cat /etc/passwd",
        "pytest -q | tail -5; rm -rf x",
        "rm -rf x | tail -5",
        "pytest -q $(rm x) | tail -5",
        "pytest -q | tail -5 &",
        "pytest -q | tail $(rm x)",
        "echo 'a | tail -5' | sh | tail -5",
        "pytest -q\nrm x | tail -5",
        "pytest -q | grep $(rm x)",
        'pytest -q | grep "`rm x`"',
        "rm 'x | tail -5",
    ],
)
def test_anything_more_is_asked_about(command: str) -> None:
    assert verdict(command) != "allow"


def test_a_denied_filter_is_denied() -> None:
    assert verdict("pytest -q | tail -5", deny=("Bash(tail *)",)) == "deny"
