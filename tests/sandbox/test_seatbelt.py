"""Seatbelt: the text of the profile and the command line; the sandbox itself was not run (there is no Mac here)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from letta_code.safety import rules as safety
from letta_code.safety.containment import Grant
from letta_code.safety.sandboxes.choose import Territory
from letta_code.safety.sandboxes.seatbelt import HOLDS, PROGRAM, Seatbelt


class Rules:
    """Judges as Seatbelt is documented to: the last rule whose operation and filter fit wins."""

    def __init__(self, profile: str) -> None:
        self._rules: list[tuple[bool, list[str], list[tuple[str, str]]]] = []
        for line in profile.splitlines()[1:]:
            verdict, _, rest = line[1:-1].partition(" ")
            operations = rest.partition("(")[0].split()
            filters = re.findall(
                r'\((literal|subpath|regex|global-name|remote|local|target)[^"]*"((?:\\.|[^"\\])*)"', rest
            )
            whole = "(" not in rest
            found = [(kind, text if kind == "regex" else re.sub(r"\\(.)", r"\1", text)) for kind, text in filters]
            self._rules.append((verdict == "allow", operations, [("any", "")] if whole else found))

    def allow(self, operation: str, path: str = "") -> bool:
        verdict = False
        for allowed, operations, filters in self._rules:
            if any(_covers(one, operation) for one in operations) and any(_fits(one, path) for one in filters):
                verdict = allowed
        return verdict


def _covers(rule: str, operation: str) -> bool:
    return rule in ("default", operation) or (rule.endswith("*") and operation.startswith(rule[:-1]))


def _fits(found: tuple[str, str], path: str) -> bool:
    kind, text = found
    match kind:
        case "any":
            return True
        case "subpath":
            return path == text or path.startswith(text + "/")
        case "regex":
            return re.search(text, path) is not None
        case _:
            return path == text


@pytest.fixture
def seatbelt(tmp_path: Path) -> Seatbelt:
    for name in ("work", "temp", "home/.ssh", "home/.letta/agents"):
        (tmp_path / name).mkdir(parents=True)
    home = tmp_path / "home"
    territory = Territory(
        root=str(tmp_path / "work"), temp=str(tmp_path / "temp"), home=str(home), letta_home=str(home / ".letta")
    )
    return Seatbelt(HOLDS, territory)


def test_the_command_line(seatbelt: Seatbelt, tmp_path: Path) -> None:
    confined = seatbelt.confine(["/bin/bash", "-c", "ls"], str(tmp_path / "work"), {"A": "1"}, Grant())
    assert confined.argv[:2] == (PROGRAM, "-p")
    assert confined.argv[3:] == ("--", "/bin/bash", "-c", "ls")
    assert confined.argv[2].startswith("(version 1)\n(deny default)\n")
    assert (confined.env["A"], confined.env["TMPDIR"]) == ("1", f"{tmp_path}/temp/tmp")


def test_every_rule_is_closed(seatbelt: Seatbelt) -> None:
    for grant in (Grant(), Grant(git=True, network="open"), Grant(network="proxy")):
        for line in seatbelt.profile(grant, "/d").splitlines():
            bare = re.sub(r'#?"(?:\\.|[^"\\])*"', "", line)
            assert bare.startswith("(") and bare.count("(") == bare.count(")"), line


def test_only_the_tree_and_the_temp_folder_are_written(seatbelt: Seatbelt, tmp_path: Path) -> None:
    rules = Rules(seatbelt.profile(Grant(), ""))
    for inside in ("work/f", "work/src/deep/f", "work/AGENTS.md", "temp/tmp/f", "work/.gitignore", "work/x.git/f"):
        assert rules.allow("file-write-create", str(tmp_path / inside)), inside
    outside = ["home/f", "home/.zshrc", "other", "work-evil/f", "temp/ending-1.sh", "home/.letta/config.yaml"]
    protected = [".git", ".git/hooks/x", ".GIT/hooks/x", "sub/.git/config", ".letta/f", ".mcp.json", ".Envrc"]
    for path in [*outside, *(f"work/{name}" for name in protected)]:
        assert not rules.allow("file-write-create", str(tmp_path / path)), path
        assert not rules.allow("file-write-unlink", str(tmp_path / path)), path
    assert not rules.allow("file-write-unlink", str(tmp_path / "work"))
    assert Rules(seatbelt.profile(Grant(writes=(str(tmp_path / "other"),)), "")).allow(
        "file-write-create", str(tmp_path / "other/f")
    )


def test_git_gets_the_repository_but_not_what_it_runs(seatbelt: Seatbelt, tmp_path: Path) -> None:
    rules = Rules(seatbelt.profile(Grant(git=True), ""))
    for path in (".git/index.lock", ".git/objects/aa/b", ".git/refs/heads/x", ".git/HEAD"):
        assert rules.allow("file-write-create", f"{tmp_path}/work/{path}"), path
    for path in (".git", ".git/config", ".git/hooks/pre-commit", ".git/info/attributes", ".git/modules/a/config"):
        assert not rules.allow("file-write-create", f"{tmp_path}/work/{path}"), path
    assert not rules.allow("file-write-create", f"{tmp_path}/work/.mcp.json")


def test_secrets_and_memory_are_not_read(seatbelt: Seatbelt, tmp_path: Path) -> None:
    rules = Rules(seatbelt.profile(Grant(), ""))
    assert rules.allow("file-read-data", "/usr/lib/x")
    assert rules.allow("file-read-data", f"{tmp_path}/home/notes")
    assert rules.allow("file-read-data", f"{tmp_path}/home/.letta/skills/a/SKILL.md")
    for path in ("home/.ssh/id", "home/.letta/agents/b/memory", "home/.letta/credentials"):
        assert not rules.allow("file-read-data", str(tmp_path / path)), path
    named = str(tmp_path / "home/.ssh/id")
    granted = Rules(seatbelt.profile(Grant(reads=(named,)), ""))
    assert granted.allow("file-read-data", named) and not granted.allow("file-write-create", named)
    assert not granted.allow("file-read-data", str(tmp_path / "home/.ssh/other"))


def test_what_a_deny_rule_names_is_not_read(tmp_path: Path) -> None:
    root = tmp_path.resolve() / "work"
    root.mkdir()
    (root / ".env").write_text("x")
    territory = Territory(root=str(root), temp=str(tmp_path / "t"), home=str(tmp_path), letta_home=str(tmp_path / "l"))
    given = safety.Rules.of(safety.parse_rules(["Read(.env)"], "deny"))
    rules = Rules(Seatbelt(HOLDS, territory, rules=lambda: given).profile(Grant(), ""))
    assert not rules.allow("file-read-data", f"{root}/.env")
    assert rules.allow("file-read-data", f"{root}/.envrc")


def test_the_network_by_grant(seatbelt: Seatbelt) -> None:
    off = Rules(seatbelt.profile(Grant(), ""))
    assert not off.allow("network-outbound", "localhost:*")
    assert not off.allow("network-outbound", "/var/run/docker.sock")
    proxied = Rules(seatbelt.profile(Grant(network="proxy"), "/door"))
    assert proxied.allow("network-outbound", "localhost:*")
    assert proxied.allow("network-outbound", "/door")
    assert not proxied.allow("network-outbound", "/var/run/docker.sock")
    assert Rules(seatbelt.profile(Grant(network="open"), "")).allow("network-outbound", "1.1.1.1:22")


def test_nothing_that_starts_programs_outside_is_reached(seatbelt: Seatbelt) -> None:
    rules = Rules(seatbelt.profile(Grant(network="open"), ""))
    for operation in ("appleevent-send", "lsopen", "job-creation", "system-privilege"):
        assert not rules.allow(operation), operation
    assert not rules.allow("mach-lookup", "com.apple.coreservices.launchservicesd")


def test_a_path_cannot_end_its_rule(tmp_path: Path) -> None:
    root = f'{tmp_path}/a"b\\c (x).[y]'
    territory = Territory(root=root, temp=str(tmp_path / "t"), home=str(tmp_path), letta_home=str(tmp_path / "l"))
    rules = Rules(Seatbelt(HOLDS, territory).profile(Grant(), ""))
    assert rules.allow("file-write-create", f"{root}/f")
    assert not rules.allow("file-write-create", f"{root}/.git/config")
    assert not rules.allow("file-write-create", f"{tmp_path}/f")


def test_it_is_not_used_where_its_effects_are_not_seen(
    seatbelt: Seatbelt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that confines nothing, and one that runs nothing, in the place of sandbox-exec."""
    stand_in = tmp_path / "stand-in"
    monkeypatch.setattr("letta_code.safety.sandboxes.seatbelt.PROGRAM", str(stand_in))
    stand_in.write_text('#!/bin/sh\nshift 3\nexec "$@"\n')
    stand_in.chmod(0o755)
    assert "where it may not" in seatbelt.tried()
    stand_in.write_text("#!/bin/sh\necho bad profile >&2; exit 65\n")
    assert "bad profile" in seatbelt.tried()
