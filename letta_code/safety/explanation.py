"""Explanation: a decision in lines for a person: the rule behind it, all that was weighed, what the sandbox does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from letta_code.safety.containment import Containment, Grant
from letta_code.safety.needs import Need
from letta_code.safety.operations import Decision
from letta_code.safety.rules import Rule
from letta_code.safety.shell_syntax import Reading

HARD_DENY = "hard deny"  # the name of what is refused in every mode
_NETWORKS = {"proxy": "the network through a proxy that checks the host", "open": "the network as you have it"}


def explanation(
    decision: Decision,
    reading: Reading | None,
    needs: Sequence[Need],
    weighed: Iterable[tuple[Rule, str]],
    containment: Containment,
) -> tuple[str, ...]:
    """The lines; `weighed` are the rules in force and whether each covers the operation (yes, maybe, no)."""
    lines = [f"{decision.verdict}: {decision.reason or decision.rule}", f"decided by: {decision.rule}"]
    if reading is not None:
        held = containment.confines and decision.verdict != "deny" and not decision.grant.outside
        lines += _read(reading, held=held)
    lines += [f"needs: {need.why}" for need in needs]
    rules = [(rule, cover) for rule, cover in weighed if cover != "no"]
    lines += [f"{rule.name}: {'covers it' if cover == 'yes' else 'may cover it'}" for rule, cover in rules]
    if decision.rule == HARD_DENY and decision.verdict == "deny":
        lines.append("no rule changes that")
    elif not rules:
        lines.append("no rule covers it")
    if decision.destructive and decision.verdict != "deny":
        lines.append("it may destroy work that nothing brings back: a checkpoint is made first")
    if reading is not None and decision.verdict != "deny":
        lines.append(_sandbox(decision, containment))
    return tuple(lines)


def _read(reading: Reading, *, held: bool) -> Iterator[str]:
    """`held`: what is not known runs in a sandbox."""
    for command in reading.commands:
        through = f" (run by {command.wrapper})" if command.wrapper else ""
        yield f"command: {' '.join(command.words)[:200]}{through}"
    for redirect in reading.redirects:
        yield f"{'writes' if redirect.writes else 'reads'}: {redirect.target}"
    for one in reading.opaque:
        what = f"what it does is not known before: {' '.join(one.words)[:200]} ({one.why})"
        yield f"{what}; the sandbox holds it" if held else what
    if reading.doubt:
        yield f"not one simple command: {reading.doubt}"


def _sandbox(decision: Decision, containment: Containment) -> str:
    when = "it gets" if decision.verdict == "allow" else "with your yes it gets"
    if decision.grant.outside:
        return f"sandbox: {when} no sandbox: all of your rights"
    if containment.kind == "none":
        return f"sandbox: none. {containment.says}".strip()
    return f"sandbox: {containment.kind}; {when} {granted(decision.grant)}"


def granted(grant: Grant) -> str:
    """What a grant gives, in words."""
    if grant.outside:
        return "all of your rights, outside the sandbox"
    given = ["the work tree and temporary files to write"]
    if grant.git:
        given.append("the repository to write, but for its configuration and hooks")
    if grant.hooks:
        given.append("the repository's own hooks")
    given += [f"{path} to write" for path in grant.writes]
    given += [f"{path} to read" for path in grant.reads]
    if grant.logins:
        given.append("what git logs in with" + (" and the keys of ssh" if grant.network == "open" else ""))
    given.append(_NETWORKS.get(grant.network, "no network"))
    return ", ".join(given)
