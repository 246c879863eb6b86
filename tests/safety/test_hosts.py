"""Rules about hosts: names are compared whole, in the form that is resolved (row J02)."""

from __future__ import annotations

import pytest

from letta_code.core.errors import ConfigError
from letta_code.safety.hosts import host_verdict, is_named
from letta_code.safety.rules import Rules, Source, parse_rule, parse_rules

LISTED = Rules.of(parse_rules(["Net(docs.python.org)", "Net(*.pypi.org)"], "allow"))


@pytest.mark.parametrize("host", ["docs.python.org", "DOCS.Python.ORG", "a.pypi.org", "a.b.pypi.org"])
def test_listed_hosts_are_allowed(host: str) -> None:
    assert host_verdict(LISTED, host) == "allow"


@pytest.mark.parametrize(
    "host",
    ["docs.python.org.evil.com", "evildocs.python.org", "python.org", "pypi.org", "evilpypi.org", "evil.com",
     "1.2.3.4", "x.docs.python.org"],
)  # fmt: skip
def test_others_are_not(host: str) -> None:
    assert host_verdict(LISTED, host) == "ask"


@pytest.mark.parametrize(
    "host",
    ["evil.com\0.python.org", "python.org@evil.com", "[::ffff:1.2.3.4]", "16909060", "0x1020304", "docs.python.org.",
     "dоcs.python.org", "", "docs.python.org:80", "docs python.org"],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_denied_even_without_rules(host: str) -> None:
    """The third last has a Cyrillic letter."""
    assert host_verdict(LISTED, host) == host_verdict(Rules(), host) == "deny"


def test_a_yes_to_the_web_is_for_all_hosts_but_denied_ones() -> None:
    rules = Rules.of([parse_rule("Net(*.evil.com)", "deny", "project_file"), parse_rule("Net(ask.me)", "ask")])
    assert host_verdict(rules, "docs.python.org") == "allow"
    assert host_verdict(rules, "a.evil.com") == "deny"
    assert host_verdict(rules, "ask.me") == "ask"
    assert host_verdict(rules.plus(parse_rule("Net(a.evil.com)", "allow")), "a.evil.com") == "deny"
    assert host_verdict(Rules.of([parse_rule("Net", "deny")]), "docs.python.org") == "deny"


def test_a_project_file_allows_no_host() -> None:
    assert host_verdict(LISTED.plus(parse_rule("Net(evil.com)", "allow", "project_file")), "evil.com") == "ask"


def test_a_name_with_other_letters_is_compared_in_its_ascii_form() -> None:
    rules = Rules.of([parse_rule("Net(bücher.example)", "allow")])
    assert host_verdict(rules, "xn--bcher-kva.example") == "allow"


@pytest.mark.parametrize("text", ["Net(a b)", "Net(http://x.org)", "Net(x.org:80)", "Net(x.org/)", "Net(*)",
                                  "Net(a*.org)", "Net(x.org.)", "Net(*.1.2.3.4)", "Net(.)"])  # fmt: skip
def test_what_is_no_host_is_no_rule(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_rule(text, "allow")


@pytest.mark.parametrize(
    ("pattern", "source", "named"),
    [
        ("Net(mirror.internal)", "user", True),
        ("Net(mirror.internal)", "project", True),
        ("Net(mirror.internal)", "project_file", False),
        ("Net(*.internal)", "user", False),
        ("Net", "user", False),
    ],
)
def test_a_host_is_named_by_a_rule_of_the_person_for_exactly_it(pattern: str, source: Source, named: bool) -> None:
    rules = Rules.of([parse_rule(pattern, "allow", source), parse_rule("Net(*.mirror.internal)", "allow")])
    assert is_named(rules, "Mirror.Internal") is named
    assert not is_named(rules, "a.mirror.internal")
