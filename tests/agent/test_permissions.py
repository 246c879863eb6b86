"""Rules for a person: listed with where they are from, explained, given, taken back; and the verb that shows them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from letta_code.agent.permissions import Permissions
from letta_code.agent.place import Place
from letta_code.agent.port import SessionOptions
from letta_code.cli import permissions as verb
from letta_code.commands.permissions import permissions as slash
from letta_code.config.paths import Paths
from letta_code.config.settings import load, person_settings
from letta_code.core.errors import ConfigError, UsageError
from letta_code.core.requests import Approve
from letta_code.safety.operations import ExecOperation


@pytest.fixture
def paths() -> Paths:
    return Paths.find().ensure()


def open_place(tmp_path: Path, paths: Paths) -> Place:
    return Place(SessionOptions(cwd=str(tmp_path), settings=load(tmp_path, paths=paths).settings), paths)


def verdict(place: Place, command: str) -> str:
    return place.policy.decide("Bash", ExecOperation(command=command, cwd=str(place.policy.ground.root))).verdict


async def say(known: Permissions, arguments: str) -> str:
    context: Any = SimpleNamespace(session=SimpleNamespace(permissions=known))
    return (await slash(context, arguments)).say


async def test_a_rule_that_is_given_holds_at_once_and_is_kept_where_its_scope_says(
    tmp_path: Path, paths: Paths
) -> None:
    place = open_place(tmp_path, paths)
    assert verdict(place, "make") == "ask"
    assert "in this conversation, while it is open" in await say(place.permissions, "allow Bash(make)")
    assert "for this project" in await say(place.permissions, "deny Bash(git push) project")
    assert "everywhere" in await say(place.permissions, "ask Bash(git *) always")
    assert [verdict(place, text) for text in ("make", "git push", "git status")] == ["allow", "deny", "ask"]
    again = open_place(tmp_path, paths)
    assert [verdict(again, text) for text in ("make", "git push")] == ["ask", "deny"]
    assert person_settings(paths).ask == ("Bash(git *)",)
    elsewhere = open_place(tmp_path.parent, paths)
    assert verdict(elsewhere, "git push") == "ask"


async def test_a_rule_is_taken_back_wherever_it_is_kept(tmp_path: Path, paths: Paths) -> None:
    paths.config.write_text(
        "deny:\n  - {rule: Bash(rm), match: [rm x]}\n  - Bash(dd)\nallow: ['Bash(a|b)', Bash(make)]\n"
    )
    place = open_place(tmp_path, paths)
    place.remember(Approve(remember="project", pattern="Bash(npm test)"))
    for text in ("Bash(rm)", "Bash(npm test)", "Bash(make)"):
        assert text in await say(place.permissions, f"remove {text}")
    assert verdict(place, "rm x") == "ask"
    assert verdict(place, "npm test") == "ask"
    assert (person_settings(paths).deny, person_settings(paths).allow) == (("Bash(dd)",), ("Bash(a|b)",))
    assert {rule.text for rule in open_place(tmp_path, paths).policy.rules} == {"Bash(dd)"}
    with pytest.raises(UsageError, match="no rule"):
        place.permissions.remove("Bash(rm)")


async def test_a_projects_own_rules_are_named_as_such_and_stay(tmp_path: Path, paths: Paths) -> None:
    (tmp_path / ".letta").mkdir()
    (tmp_path / ".letta" / "config.yaml").write_text("deny: [Bash(terraform)]\nallow: [Bash]\n")
    paths.config.write_text("deny: [Bash(rm)]\n")
    place = open_place(tmp_path, paths)
    said = await say(place.permissions, "")
    assert "deny `Bash(terraform)` (the project's own file)" in said and "deny `Bash(rm)` (you, everywhere)" in said
    assert "allow" not in said.partition("deny")[2]
    with pytest.raises(UsageError, match="project's own file"):
        place.permissions.remove("Bash(terraform)")


async def test_why_names_the_rule_and_what_was_read(tmp_path: Path, paths: Paths) -> None:
    place = open_place(tmp_path, paths)
    place.permissions.give("deny", "Bash(rm)", "conversation")
    said = await say(place.permissions, "why ls && rm `x`")
    assert "deny: The rule Bash(rm) denies it." in said and "command: rm" in said and "covers it" in said
    assert said.splitlines()[0].startswith("```")
    assert "It may hold keys" in await say(place.permissions, "why Read(~/.ssh/id_rsa)")
    for wrong in ("why", "frobnicate", "allow", "remove Bash(x)", "allow Bash(*)", "deny Bsh(rm) always"):
        with pytest.raises((UsageError, ConfigError)):
            await say(place.permissions, wrong)


@pytest.mark.parametrize(
    ("in_the_app", "in_a_shell"),
    [
        ("git push", ["git", "push"]),
        ('"git push && ls"', ["git push && ls"]),
        ("'echo \"a  b\"'", ['echo "a  b"']),
        ('"a" && "b"', ['"a" && "b"']),
        ("echo 'a  b'", ["echo", "a  b"]),
    ],
)
async def test_why_takes_quotes_in_the_app_as_a_shell_takes_them_for_the_verb(
    tmp_path: Path, paths: Paths, capsys: pytest.CaptureFixture[str], in_the_app: str, in_a_shell: list[str]
) -> None:
    said = await say(open_place(tmp_path, paths).permissions, f"why {in_the_app}")
    await asyncio.to_thread(verb.run, ["--cwd", str(tmp_path), "why", *in_a_shell])
    assert said.splitlines()[1:-1] == capsys.readouterr().out.splitlines()


def test_the_verb_lists_and_explains(
    tmp_path: Path, paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.config.write_text("deny: [Bash(git push)]\nallow: [{rule: Bash(make), match: [make all]}]\n")
    monkeypatch.chdir(tmp_path)
    assert verb.run([]) == 0
    told = capsys.readouterr()
    assert "deny Bash(git push) (you, everywhere)" in told.out and "mode ask" in told.out and "sandbox" in told.out
    assert "`make all`" in told.err
    assert verb.run(["--mode", "full", "why", "git", "push"]) == 0
    assert "deny: The rule Bash(git push) denies it." in capsys.readouterr().out
    for wrong in (["why"], ["why", ""], ["frob"], ["--cwd", str(tmp_path / "none")]):
        with pytest.raises(UsageError):
            verb.run(wrong)


def test_the_verb_takes_a_rule_back_and_names_the_file_that_it_was_in(
    tmp_path: Path, paths: Paths, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths.config.write_text("deny: [Bash(git push)]\n")
    monkeypatch.chdir(tmp_path)
    open_place(tmp_path, paths).remember(Approve(remember="project", pattern="Bash(npm test)"))
    assert verb.run([]) == 0
    told = capsys.readouterr().out
    assert "allow Bash(npm test) (you, for this project)" in told and "permissions remove 'RULE'" in told
    assert verb.run(["remove", "Bash(npm test)"]) == 0
    told = capsys.readouterr().out
    (kept,) = paths.projects.glob("*/rules.json")
    assert "(allow, you, for this project) is taken back" in told and str(kept) in told
    assert str(paths.config) not in told
    assert verb.run(["remove", "Bash(git", "push)"]) == 0
    assert str(paths.config) in capsys.readouterr().out
    assert not list(open_place(tmp_path, paths).policy.rules)
    with pytest.raises(UsageError, match="no rule"):
        verb.run(["remove", "Bash(git push)"])


async def test_what_is_listed_is_the_same_in_both_and_true_in_mode_full(
    tmp_path: Path, paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    paths.config.write_text("deny: [Bash(rm)]\n")
    place = open_place(tmp_path, paths)
    place.permissions.give("ask", "Bash(make)", "conversation")
    said = await say(place.permissions, "")
    assert "ask `Bash(make)` (you, for this conversation)" in said and "`/permissions remove RULE`" in said
    place.set_mode("full")
    said = await say(place.permissions, "")
    assert "sandbox: not used in mode full" in said and "Commands are kept" not in said
    await asyncio.to_thread(verb.run, ["--cwd", str(tmp_path), "--mode", "full"])
    assert "sandbox: not used in mode full" in capsys.readouterr().out
