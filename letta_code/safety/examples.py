"""Examples: what a rule says of itself that it covers and does not cover, checked when it is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterable

from letta_code.safety import places
from letta_code.safety.coverage import covers
from letta_code.safety.hosts import host_verdict
from letta_code.safety.operations import (
    AskOperation,
    ExecOperation,
    GitOperation,
    Operation,
    ReadOperation,
    WriteOperation,
)
from letta_code.safety.rules import PATH_TOOLS, Ground, Rule, Rules


def wrong_example(rule: Rule, match: Iterable[str], not_match: Iterable[str], ground: Ground) -> str:
    """The first example that does not hold, in words; "" when all do.

    For a rule about commands an example is a command run in the work tree, for one about paths a path, relative to the
    work tree or absolute, for one about hosts a host.
    """
    for example in match:
        if not _is_covered(rule, example, ground):
            return f"it does not cover `{example}`"
    for example in not_match:
        if _is_covered(rule, example, ground):
            return f"it covers `{example}`"
    return ""


def _is_covered(rule: Rule, example: str, ground: Ground) -> bool:
    if rule.tool == "Net":
        other = {"allow": "ask", "ask": "allow", "deny": "allow"}
        return host_verdict(Rules.of([rule]), example) != other[rule.verdict]
    return covers(rule, rule.tool, operation_of(rule.tool, example, ground), ground) == "yes"


def operation_of(tool: str, example: str, ground: Ground) -> Operation:
    """The operation that an example stands for: a command of `Bash` or `Git`, else a path of a tool for files."""
    if tool == "Bash":
        return ExecOperation(command=example, cwd=ground.root)
    if tool == "Git":
        return GitOperation(command=example, writes=True, cwd=ground.root)
    if tool not in PATH_TOOLS:
        return AskOperation(what=example)
    path = os.path.normpath(os.path.join(ground.root, os.path.expanduser(example)))
    inside = places.is_within(path, ground.root)
    changes = tool in {"Edit", "Write", "ApplyPatch"}
    return WriteOperation(path=path, inside=inside) if changes else ReadOperation(path=path, inside=inside)
