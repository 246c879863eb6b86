"""Denied: what a deny rule for reading names is not read by commands in the sandbox, whatever opens it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from letta_code.safety.rules import Rules, parse_rules
from letta_code.safety.sandboxes import denied
from letta_code.safety.sandboxes.bubblewrap import Bubblewrap
from letta_code.safety.sandboxes.choose import Territory
from letta_code.safety.sandboxes.denied import Denied
from letta_code.safety.sandboxes.late import LateSandbox
from tests.sandbox.ground import GIT, NOTHING, PROBE, Ground, works

SECRET = "K3Y-IN-A-FILE"


def deny(ground: Ground, *patterns: str) -> None:
    """Let rules hold from now on."""
    rules = Rules.of(parse_rules([f"Read({one})" for one in patterns], "deny", "project_file"))
    territory = Territory(
        root=str(ground.root), temp=str(ground.temp), home=str(ground.home), letta_home=str(ground.letta)
    )
    ground.late._chosen = Bubblewrap(PROBE.program, territory, rules=lambda: rules)


def put(path: Path, text: str = SECRET) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


READS = [
    "cat .e*",
    "python3 -c 'print(open(\".env\").read())'",
    "grep -r . .",
    "cat a/b/.env link",
    "cp .env copy; cat copy",
    "chmod 644 .env; cat .env",
    "mv .env other; cat other",
    "mv a c; cat c/b/.env",
    "cat secrets/deep/one.pem; cd secrets && cat deep/two",
    "mv secrets open; cat open/deep/*",
    "ln .env hard; cat hard",
    "cat /proc/self/root/$PWD/.env < .env",
    "cat conf/live.key",
]


@works
async def test_no_command_reads_what_rules_deny(ground: Ground) -> None:
    for name in (".env", "a/b/.env", "secrets/deep/one.pem", "secrets/deep/two", "conf/live.key"):
        put(ground.root / name)
    (ground.root / "link").symlink_to("a/b/.env")
    put(ground.root / "conf/plain", "plain")
    deny(ground, ".env", "secrets/**", "conf/*.key")
    seen = {text: await ground.said(f"({text}) 2>&1; true") for text in READS}
    assert [text for text, said in seen.items() if SECRET in said] == []
    assert "Permission denied" in seen["cat .e*"], "and the command is told, not given nothing"
    assert await ground.said("cat conf/plain README.md") == "plainold", "what no rule is about is read"
    for name in (".env", "secrets/deep/one.pem", "conf/live.key"):
        assert (ground.root / name).read_text() == SECRET, "nothing is changed"


@works
async def test_without_a_rule_they_are_read(ground: Ground) -> None:
    put(ground.root / ".env")
    deny(ground)
    assert await ground.said("cat .en[v]") == SECRET


@works
async def test_rules_of_now_count_and_files_that_came(ground: Ground) -> None:
    deny(ground, "*.pem", "~/notes.txt")
    assert "plain" not in await ground.said("cat ~/notes.txt")
    put(ground.root / "a/x.pem")
    result = await ground.sh("cat a/*")
    assert SECRET not in result.head.decode()
    assert result.notes == (f"deny rules keep commands from reading {ground.home}/notes.txt, a/x.pem",)
    deny(ground, "*.key")
    assert SECRET in await ground.said("cat a/*")


@works
async def test_git_takes_no_covered_file_for_a_change(ground: Ground) -> None:
    put(ground.root / "secrets/one")
    put(ground.root / "key.pem")
    ground.repository()
    deny(ground, "secrets/**", "*.pem")
    put(ground.root / "README.md", "new")
    await ground.sh("git commit -q -am second; git add README.md; git commit -q -m third", GIT)
    shown = subprocess.run(
        ["git", "show", "--stat", "--format=", "HEAD"], cwd=ground.root, capture_output=True, text=True, check=True
    ).stdout
    kept = subprocess.run(
        ["git", "show", "HEAD:secrets/one", "HEAD:key.pem"], cwd=ground.root, capture_output=True, text=True, check=True
    ).stdout
    assert "README.md" in shown
    assert kept == SECRET * 2


@works
async def test_a_rule_about_the_whole_tree_or_a_folder_above_hides_nothing_from_it(ground: Ground) -> None:
    deny(ground, "**", "./**", f"{ground.folder}/**", "~/**", "/tmp/**")
    (ground.root / "all").symlink_to(ground.root)
    deny(ground, "all")
    assert await ground.said("cat README.md") == "old"


def found(root: Path, *patterns: str) -> tuple[set[str], tuple[str, ...]]:
    rules = Rules.of(parse_rules([f"Read({one})" for one in patterns], "deny"))
    paths, told = Denied(str(root), str(root / "home")).found(rules)
    return {os.path.relpath(path, root) for path in paths}, told


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        (".env", {".env", "a/.env", "a/b/.env"}),
        ("./.env", {".env", "a/.env", "a/b/.env"}),
        ("a/.env", {"a/.env"}),
        ("a/*/.env", {"a/b/.env"}),
        ("a/**", {"a"}),
        ("a/**/*.pem", {"a/b/c.pem", "a/c.pem"}),
        ("**/b/**", {"a/b"}),
        ("a/b?.txt", {"a/b1.txt"}),
        ("a/[[]x].txt", {"a/[x].txt"}),
        ("a/\\[x].txt", {"a/[x].txt"}),
        ("~/.env", set[str]()),
        ("none/**", set[str]()),
        ("/**", set[str]()),
        ("**/**", set[str]()),
        ("b/**", set[str]()),
    ],
)
def test_what_a_pattern_means_is_found(tmp_path: Path, pattern: str, paths: set[str]) -> None:
    root = tmp_path.resolve()
    for name in (".env", "a/.env", "a/b/.env", "a/b/c.pem", "a/c.pem", "a/b1.txt", "a/b12.txt", "a/[x].txt", "plain"):
        put(root / name)
    assert found(root, pattern)[0] == paths


def test_a_rule_with_an_absolute_path_costs_no_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path.resolve()
    put(root / "a/.env")
    monkeypatch.setattr(denied, "Walk", None)
    assert found(root, f"{root}/a/.env", "a/.env")[0] == {"a/.env"}


def test_what_is_too_much_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path.resolve()
    for number in range(70):
        put(root / f"d{number}/x.pem")
    monkeypatch.setattr(denied, "MOST", 10)
    monkeypatch.setattr(denied, "FIRST_LOOK", 0.0)
    paths, told = found(root, "*.pem")
    assert len(paths) == 10
    assert "commands are kept from reading 10 of them" in told[1]
    assert told[2].startswith("the work tree is large")


@works
def test_the_rules_of_a_session_reach_its_sandbox(ground: Ground) -> None:
    secret = put(ground.root / ".env")
    late = LateSandbox("bubblewrap", str(ground.letta), str(ground.root))
    late.rules = lambda: Rules.of(parse_rules(["Read(.env)"], "deny"))
    confined = late.confine(["/bin/true"], str(ground.root), ground.env, NOTHING)
    at = confined.argv.index(str(secret))
    assert confined.argv[at - 2] == "--ro-bind"
    assert Path(confined.argv[at - 1]).stat().st_mode & 0o777 == 0
    if confined.close:
        confined.close()
    late.close()
