"""Rules that cannot be read, and the log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from letta_code.agent.given_rules import GivenRules
from letta_code.agent.logfile import LogFile, log_to
from letta_code.agent.place import Place
from letta_code.agent.port import SessionOptions
from letta_code.config.paths import Paths
from letta_code.config.settings import GivenRule, Settings, person_settings
from letta_code.core.errors import ConfigError
from letta_code.core.requests import Approve
from letta_code.safety.operations import ExecOperation, WriteOperation
from letta_code.safety.policy import Policy
from tests.fakes.redaction import NoSecrets


def given(tmp_path: Path, **rules: tuple[str | GivenRule, ...]) -> GivenRules:
    options = SessionOptions(cwd=str(tmp_path), settings=Settings(**rules))
    return GivenRules(options, tmp_path / "rules.json")


def verdict(rules: GivenRules, command: str) -> str:
    policy = Policy("full", rules.rules, root="/w", home="/home/me")
    return policy.decide("Bash", ExecOperation(command=command, cwd="/w")).verdict


def test_an_allow_rule_that_cannot_be_read_allows_nothing_and_is_named(tmp_path: Path) -> None:
    rules = given(tmp_path, allow=("Bash(a|b)", "Bash(make test)"))
    assert [rule.text for rule in rules.rules] == ["Bash(make test)"]
    (notice,) = rules.notices
    assert "Bash(a|b)" in notice.text


def test_a_deny_rule_that_cannot_be_read_asks_about_its_tool_even_in_mode_full(tmp_path: Path) -> None:
    rules = given(tmp_path, deny=("Bash(rm | x)",))
    assert verdict(rules, "ls") == "ask"
    assert "Bash is asked about instead" in rules.notices[0].text


def test_a_deny_rule_that_is_no_rule_at_all_asks_about_every_effect(tmp_path: Path) -> None:
    rules = given(tmp_path, deny=("$$$",))
    assert verdict(rules, "ls") == "ask"
    policy = Policy("full", rules.rules, root="/w", home="/home/me")
    assert policy.decide("Edit", WriteOperation(path="/w/a", inside=True)).verdict == "ask"


def test_a_rule_about_no_tool_is_named_with_the_nearest_and_what_it_may_have_refused_is_asked(tmp_path: Path) -> None:
    rules = given(tmp_path, allow=("Bsh(ls)", "bash(make)"), deny=("Bsh(rm)", "Bash(dd)", "Frobnicate", "memory"))
    assert [verdict(rules, text) for text in ("rm x", "dd x", "ls")] == ["ask", "deny", "allow"]
    assert not [rule for rule in rules.rules.allow if rule.tool == "Bash"], "a guess allows nothing"
    told = [notice.text for notice in rules.notices]
    assert told == [
        "The deny rule 'Bsh(rm)' covers nothing; Bash(rm) is asked about instead. There is no tool Bsh; "
        "did you mean `Bash`?",
        "The deny rule 'Frobnicate' covers nothing. There is no tool Frobnicate.",
        "The allow rule 'Bsh(ls)' covers nothing. There is no tool Bsh; did you mean `Bash`?",
        "The allow rule 'bash(make)' covers nothing. There is no tool bash; did you mean `Bash`?",
    ]


def test_a_flag_about_no_tool_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--allow Bsh\(ls\).*did you mean `Bash`"):
        GivenRules(SessionOptions(cwd=str(tmp_path), settings=Settings(), allow=("Bsh(ls)",)), tmp_path / "rules.json")


@pytest.mark.parametrize("content", [b"{torn", b"[]", b'{"root":"/w","allow":["Bash(a|b)"]}'])
def test_damaged_remembered_rules_allow_nothing_and_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "rules.json").write_bytes(content)
    rules = given(tmp_path)
    assert not list(rules.rules)
    assert str(tmp_path / "rules.json") in rules.notices[0].hint


def with_example(rule: str, match: tuple[str, ...] = (), not_match: tuple[str, ...] = ()) -> GivenRule:
    return GivenRule(rule=rule, match=match, not_match=not_match)


def test_a_rule_with_examples_that_hold_is_used(tmp_path: Path) -> None:
    rules = given(
        tmp_path,
        allow=(
            with_example("Bash(npm test *)", ("npm test -- x", "cd web && npm test"), ("npm test; rm x", "npm ci")),
            with_example("Edit(src/**)", ("src/a/b.py",), ("tests/a.py", "../src/a.py")),
            with_example("Net(*.python.org)", ("docs.python.org",), ("python.org.evil.com",)),
        ),
        deny=(with_example("Read(.env)", ("sub/.env",), (".env.example",)), "Bash(rm)"),
    )
    assert not rules.notices
    assert len(rules.rules.allow) == 3 and len(rules.rules.deny) == 2


@pytest.mark.parametrize(
    ("rule", "match", "not_match", "named"),
    [
        ("Bash(npm test)", ("npm test -- x",), (), "npm test -- x"),
        ("Bash(npm test *)", (), ("npm test --watch",), "npm test --watch"),
        ("Edit(src/*.py)", ("src/a/b.py",), (), "src/a/b.py"),
        ("Net(python.org)", ("docs.python.org",), (), "docs.python.org"),
    ],
)
def test_an_allow_rule_whose_example_fails_asks_and_the_example_is_named(
    tmp_path: Path, rule: str, match: tuple[str, ...], not_match: tuple[str, ...], named: str
) -> None:
    rules = given(tmp_path, allow=(with_example(rule, match, not_match),))
    assert not rules.rules.allow
    assert [one.text for one in rules.rules.ask] == [rule]
    (notice,) = rules.notices
    assert f"`{named}`" in notice.text and rule in notice.text


def test_a_deny_rule_whose_example_fails_denies_all_the_same(tmp_path: Path) -> None:
    rules = given(tmp_path, deny=(with_example("Bash(rm)", ("rmdir x",)),))
    assert verdict(rules, "rm x") == "deny"
    assert "`rmdir x`" in rules.notices[0].text


def test_rules_with_examples_are_read_from_the_file_and_stay_when_one_is_remembered(tmp_path: Path) -> None:
    paths = Paths.find().ensure()
    paths.config.write_text(
        "allow:\n  - Bash(make)\n  - rule: Bash(npm test *)\n    match: ['npm test -- x']\n    not_match: ['npm ci']\n"
    )
    known = person_settings(paths).allow
    assert known == ("Bash(make)", with_example("Bash(npm test *)", ("npm test -- x",), ("npm ci",)))
    place = Place(SessionOptions(cwd=str(tmp_path), settings=Settings()), paths)
    place.remember(Approve(remember="always", pattern="Bash(ls)"))
    assert person_settings(paths).allow == (*known, "Bash(ls)")


def test_a_wrong_flag_stops_the_start(tmp_path: Path) -> None:
    options = SessionOptions(cwd=str(tmp_path), settings=Settings(), allow=("Bash(a|b)",))
    with pytest.raises(ConfigError, match="Bash"):
        GivenRules(options, tmp_path / "rules.json")


def test_the_log_is_made_at_the_first_record_and_never_stops_the_program(tmp_path: Path) -> None:
    log = logging.getLogger("letta_code.test")
    parent = logging.getLogger("letta_code")
    before = list(parent.handlers)
    parent.handlers.clear()
    try:
        log_to(tmp_path / "logs", NoSecrets())
        log_to(tmp_path / "logs", NoSecrets())
        assert len([h for h in parent.handlers if isinstance(h, LogFile)]) == 1
        assert not (tmp_path / "logs").exists()
        try:
            raise ValueError("the cause")
        except ValueError:
            log.exception("it broke")
        text = (tmp_path / "logs" / "letta-code.log").read_text()
        assert "it broke" in text
        assert "ValueError: the cause" in text
        assert (tmp_path / "logs" / "letta-code.log").stat().st_mode & 0o077 == 0
        parent.handlers.clear()
        (tmp_path / "file").write_text("")
        log_to(tmp_path / "file" / "logs", NoSecrets())
        log.error("nowhere to go")
    finally:
        parent.handlers[:] = before


async def test_two_yes_for_always_are_both_kept(tmp_path: Path) -> None:
    paths = Paths(home=tmp_path / "home").ensure()
    options = SessionOptions(cwd=str(tmp_path), settings=Settings())
    place = Place(options, paths)
    try:
        for pattern in ("Bash(make test)", "Bash(make lint)"):
            place.remember(Approve(remember="always", pattern=pattern))
        place.remember(Approve(remember="project", pattern="Bash(make a)"))
        place.remember(Approve(remember="project", pattern="Bash(make b)"))
        again = Place(SessionOptions(cwd=str(tmp_path), settings=person_settings(paths)), paths)
    finally:
        await place.close()
    texts = [rule.text for rule in again.policy.rules]
    assert texts == ["Bash(make test)", "Bash(make lint)", "Bash(make a)", "Bash(make b)"]
