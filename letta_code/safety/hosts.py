"""Hosts: rules about whom a command may talk to, `Net(docs.python.org)` or `Net(*.python.org)`.

Names are compared whole, label by label, in the one form that the proxy resolves: never as the beginning or end of a
text, so that neither `docs.python.org.evil.com` nor `evilpython.org` is taken for somebody else.
"""

from __future__ import annotations

from letta_code.core.errors import ConfigError
from letta_code.host.web_addresses import NotAHost, host_of
from letta_code.safety.rules import Rule, Rules, Verdict


def host_verdict(rules: Rules, host: str) -> Verdict:
    """Whether a command that was given the web may reach a host.

    Where a rule allows hosts, those are all: another one is `ask`, which a proxy that cannot ask refuses.  Without such
    a rule the yes to the web was for all.  What is no host name is denied.
    """
    try:
        name = host_of(host)
    except NotAHost:
        return "deny"
    if any(_is_meant(rule, name) for rule in rules.deny):
        return "deny"
    if any(_is_meant(rule, name) for rule in rules.ask):
        return "ask"
    allowed = [rule for rule in rules.allow if rule.tool == "Net"]
    return "allow" if not allowed or any(_is_meant(rule, name) for rule in allowed) else "ask"


def is_named(rules: Rules, host: str) -> bool:
    """Whether an allow rule names exactly this host; never one of a project's file, whose allow rules do not count."""
    try:
        name = host_of(host)
    except NotAHost:
        return False
    return any(rule.tool == "Net" and rule.words == (name,) for rule in rules.allow)


def checked_host(text: str, pattern: str) -> str:
    """A host pattern of the rule `text` in the form that is compared; raises `ConfigError` that says what is wrong."""
    below = pattern.startswith("*.")
    name = pattern[2:] if below else pattern
    try:
        name = name if name.isascii() else name.encode("idna").decode("ascii")
        known = host_of(name)
    except (NotAHost, UnicodeError) as error:
        raise ConfigError(
            f"The rule {text!r} names no host: {error}.",
            hint="Write a name such as Net(docs.python.org), or Net(*.python.org) for all below it, without a port.",
        ) from error
    if below and not any(letter.isalpha() for letter in known.rsplit(".", 1)[-1]):
        raise ConfigError(f"The rule {text!r} has a `*.` before an address; write the address alone.")
    return f"*.{known}" if below else known


def _is_meant(rule: Rule, name: str) -> bool:
    if rule.tool != "Net":
        return False
    if not rule.pattern:
        return True
    labels, wanted = name.split("."), rule.words[0].split(".")
    if wanted[0] == "*":
        return len(labels) >= len(wanted) and labels[-len(wanted) + 1 :] == wanted[1:]
    return labels == wanted
