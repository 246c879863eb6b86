"""Rules: their syntax, what they cover, and where they are kept."""

from __future__ import annotations

import pytest

from letta_code.core.errors import ConfigError, UsageError
from letta_code.safety import places
from letta_code.safety.coverage import covers
from letta_code.safety.operations import AskOperation, ExecOperation, GitOperation, ReadOperation, WriteOperation
from letta_code.safety.remembered import ProjectRules, project_file, project_key, remember
from letta_code.safety.rules import Ground, Rules, Verdict, parse_rule, parse_rules

GROUND = Ground(root="/w/app", home="/home/me", fold=False)


def command(rule: str, text: str, verdict: Verdict = "allow") -> str:
    return covers(parse_rule(rule, verdict), "Bash", ExecOperation(command=text, cwd="/w/app"), GROUND)


def reading(rule: str, path: str, verdict: Verdict = "allow", tool: str = "Read") -> str:
    operation = ReadOperation(path=path, inside=places.is_within(path, "/w/app"))
    return covers(parse_rule(rule, verdict), tool, operation, GROUND)


@pytest.mark.parametrize(
    "text",
    ["", "Bash(", "(ls)", "Bash()", "Bash(*)", "Bash(ls | sh)", "Bash(npm test:*)", "Bash(echo $X)", "Bash(ls *x)",
     "Read(../x)", "Edit(a/../../b)", "Bash ls", "1(x)", "Bash(A=1 ls)"],
)  # fmt: skip
def test_a_rule_that_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rule(text, "allow")
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["Bash(npm test)", "Bash(npm test *)", "Edit(src/**)", "Git(commit)", "Write", "Bash"])
def test_a_rule_is_written_as_it_was_read(text: str) -> None:
    assert parse_rule(text, "allow").text == text


@pytest.mark.parametrize(
    ("rule", "text", "cover"),
    [
        ("Bash(npm test)", "npm test", "yes"),
        ("Bash(npm test)", "  npm   test ", "yes"),
        ("Bash(npm test)", 'npm "test"', "yes"),
        ("Bash(npm test)", "npm test --x", "no"),
        ("Bash(npm test *)", "npm test", "yes"),
        ("Bash(npm test *)", "npm test --x", "yes"),
        ("Bash(npm test *)", "npm testing", "no"),
        ("Bash(npm test *)", "/tmp/npm test", "no"),
        ("Bash(npm test)", "cd /w/app/sub && npm test", "yes"),
        ("Bash(npm test)", "cd sub && npm test", "yes"),
        ("Bash(npm test)", "cd .. && npm test", "no"),
        ("Bash(npm test)", "cd ~ && npm test", "no"),
        ("Bash(npm test)", "npm test && rm x", "no"),
        ("Bash(echo *)", "echo 'a; b' \"c d\"", "yes"),
        ("Bash(cat *)", "cat /etc/passwd", "no"),
        ("Bash(cat *)", "cat ../secret", "no"),
        ("Bash(cat *)", "cat sub/../../secret", "no"),
        ("Bash(grep *)", "grep --file=/etc/shadow x", "no"),
        ("Bash(grep *)", "grep -f/etc/shadow x", "no"),
        ("Bash(cat *)", "cat .env", "no"),
        ("Bash(cat *)", "cat *", "no"),
        ("Bash(git *)", "git reset --hard", "no"),
        ("Bash(git *)", "git push -f", "no"),
        ("Bash", "ls && anything | sh", "yes"),
    ],
)
def test_allow_covers_one_simple_command(rule: str, text: str, cover: str) -> None:
    assert command(rule, text) == cover


@pytest.mark.parametrize(
    ("rule", "text", "cover"),
    [
        ("Bash(rm)", "rm -rf x", "yes"),
        ("Bash(rm)", "ls && rm x", "yes"),
        ("Bash(rm)", "cat << 'EOF' > f\nrm -rf\nEOF", "no"),
        ("Bash(rm)", "echo 'rm -rf x'", "no"),
        ("Bash(git push)", "git push origin", "yes"),
        ("Bash(git push)", "git -C /x push", "yes"),
        ("Git(push)", "git push", "yes"),
        ("Read(.env)", "cat .env", "maybe"),
        ("Read(.env)", "cat sub/.env | head", "maybe"),
        ("Read(.env)", "cat<.env", "maybe"),
        ("Edit(src/**)", "sed -i s/a/b/ src/x.py", "maybe"),
        ("Read(.env)", "cat README.md", "no"),
    ],
)
def test_deny_covers_what_a_text_runs_or_may_run(rule: str, text: str, cover: str) -> None:
    assert command(rule, text, "deny") == cover


def test_deny_of_a_git_command_covers_the_git_tool() -> None:
    operation = GitOperation(command="push origin", writes=True, cwd="/w/app")
    for rule in ("Bash(git push)", "Git(push)", "Git"):
        assert covers(parse_rule(rule, "deny"), "Git", operation, GROUND) == "yes"
    assert covers(parse_rule("Bash(git push)", "allow"), "Git", operation, GROUND) == "no"


@pytest.mark.parametrize(
    ("rule", "path", "cover"),
    [
        ("Read(src/**)", "/w/app/src/a/b.py", "yes"),
        ("Read(src)", "/w/app/src/a/b.py", "yes"),
        ("Read(src/**)", "/w/app-evil/src/a.py", "no"),
        ("Read(src/*.py)", "/w/app/src/a.py", "yes"),
        ("Read(src/*.py)", "/w/app/src/a/b.py", "no"),
        ("Read(**/test_*.py)", "/w/app/a/b/test_x.py", "yes"),
        ("Read(**/test_*.py)", "/w/app/test_x.py", "yes"),
        ("Read(notes.md)", "/w/app/deep/notes.md", "yes"),
        ("Read(notes.md)", "/elsewhere/notes.md", "no"),
        ("Read(./notes.md)", "/w/app/notes.md", "yes"),
        ("Read(~/notes)", "/home/me/notes/x", "yes"),
        ("Read(/data/**)", "/data/x", "yes"),
        ("Read(src/[ab].py)", "/w/app/src/a.py", "yes"),
        ("Read(src/[!ab].py)", "/w/app/src/a.py", "no"),
        (r"Read(app/\[id\].tsx)", "/w/app/app/[id].tsx", "yes"),
        ("Read(app/(group)/x)", "/w/app/app/(group)/x", "yes"),
        ("Read(**)", "/w/app/.env", "no"),
        ("Read(./.env)", "/w/app/.env", "yes"),
    ],
)
def test_allowed_paths(rule: str, path: str, cover: str) -> None:
    assert reading(rule, path) == cover


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("Read(.env)", "/w/app/.env"),
        ("Read(.env)", "/elsewhere/.env"),
        ("Read(~/.aws/)", "/home/me/.aws/credentials"),
        ("Read(**/.env)", "/w/app/a/.env"),
        ("Read(**)", "/w/app/.env"),
        ("Read", "/any/where"),
        ("Grep", "/any/where"),
    ],
)
def test_denied_paths(rule: str, path: str) -> None:
    """C05 and C16: a trailing slash means the folder and all below it."""
    assert reading(rule, path, "deny", tool="Grep") == "yes"


def test_case_is_ignored_where_the_file_system_ignores_it() -> None:
    """C07."""
    rule = parse_rule("Read(.env)", "deny")
    operation = ReadOperation(path="/w/app/.ENV", inside=True)
    folding = Ground(root="/w/app", home="/home/me", fold=True)
    assert covers(rule, "Read", operation, folding) == "yes"
    assert covers(rule, "Read", operation, GROUND) == "no"


def test_edit_and_write_mean_every_tool_that_changes_files() -> None:
    operation = WriteOperation(path="/w/app/src/a", inside=True)
    for rule in ("Edit(src/**)", "Write(src/**)", "ApplyPatch(src/**)", "Edit"):
        assert covers(parse_rule(rule, "deny"), "ApplyPatch", operation, GROUND) == "yes"
    assert covers(parse_rule("Read(src/**)", "deny"), "ApplyPatch", operation, GROUND) == "no"


def test_a_tool_name_alone_covers_what_touches_nothing() -> None:
    assert covers(parse_rule("AskUser", "deny"), "AskUser", AskOperation(), GROUND) == "yes"
    assert covers(parse_rule("AskUser", "deny"), "tool_search", AskOperation(), GROUND) == "no"


def test_a_project_file_never_allows() -> None:
    rules = Rules.of(
        (
            *parse_rules(["Bash", "Edit"], "allow", "project_file"),
            *parse_rules(["Bash(curl)"], "deny", "project_file"),
            *parse_rules(["Bash(ls)"], "allow", "project"),
        )
    )
    assert [rule.text for rule in rules.allow] == ["Bash(ls)"]
    assert [rule.text for rule in rules.deny] == ["Bash(curl)"]


def test_where_a_yes_is_kept() -> None:
    assert remember("once", "Bash(ls)", "/w/app") is None
    always = remember("always", "Bash(ls)", "/w/app")
    project = remember("project", "Bash(ls)", "/w/app")
    conversation = remember("conversation", "Bash(ls)", "/w/app")
    assert always and project and conversation
    assert (always.file, always.rule.source) == ("config.yaml", "user")
    assert (project.file, project.rule.source) == (project_file("/w/app"), "project")
    assert (conversation.file, conversation.rule.source) == ("", "conversation")
    with pytest.raises(UsageError):
        remember("forever", "Bash(ls)", "/w/app")
    with pytest.raises(ConfigError):
        remember("always", "Bash(*)", "/w/app")


def test_project_keys_are_readable_and_never_shared() -> None:
    assert project_key("/w/app").startswith("w-app-")
    assert len({project_key(p) for p in ("/w/app", "/w-app", "/w/app2", "/x/w/app", "/")}) == 5
    assert "/" not in project_key("/ü/…/../x")


def test_project_rules_survive_their_file() -> None:
    kept = ProjectRules(root="/w/app").plus("Bash(ls)").plus("Bash(ls)").plus("Edit(src/**)")
    again = ProjectRules.decode(kept.encode(), "rules.json")
    assert again == kept
    assert [rule.text for rule in again.rules()] == ["Bash(ls)", "Edit(src/**)"]
    with pytest.raises(ConfigError, match=r"rules\.json"):
        ProjectRules.decode(b"{", "rules.json")
