"""`letta-code agents`, `conversations --search`, `export --format`: what a person types in a shell."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from letta_code.cli import main
from letta_code.config.paths import Paths
from letta_code.store.database import Store
from tests.agent.agentfile.homes import full_agent, open_home
from tests.fakes.redaction import NoSecrets
from tests.store.support import raw_sql

Letta = Callable[..., str]


@pytest.fixture
def letta(
    letta_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Letta:
    """Run a command line here; gives what it printed, stdout and stderr."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*argv: str, code: int = 0) -> str:
        found = main(argv)
        out = capsys.readouterr()
        assert found == code, out.err
        return out.out + out.err

    return run


def filled(home: Path) -> str:
    paths, store = open_home(home)
    with store:
        return asyncio.run(full_agent(paths, store))[1]


def rows(letta: Letta, *more: str) -> list[dict[str, object]]:
    return json.loads(letta("agents", "list", "--json", *more))


def test_an_agent_from_its_making_to_its_end(letta: Letta, letta_home: Path) -> None:
    assert "no agent yet" in letta("agents")
    assert "is made" in letta("agents", "create", "ada", "--description", "counts")
    letta("agents", "create", "bob")
    assert "already" in letta("agents", "create", "ADA", code=2)
    assert "with bob" in letta("agents", "use", "bo")
    assert [(row["name"], row["here"]) for row in rows(letta)] == [("bob", True), ("ada", False)]
    assert "*  bob" in letta("agents")
    letta("agents", "rename", "bob", "Bob the Builder")
    assert "builds" in letta("agents", "describe", "bob", "builds", "things")
    told = letta("agents", "delete", "bob")
    assert "30 days" in told and "agent of this folder" in told
    assert [row["name"] for row in rows(letta)] == ["ada"] and rows(letta)[0]["here"]
    assert [row["name"] for row in rows(letta, "--deleted")] == ["Bob the Builder"]
    assert "was deleted" in letta("agents", "use", "Bob the Builder", code=2)
    assert "is back" in letta("agents", "restore", "bob")
    assert "last" not in letta("agents", "delete", "bob") and "last agent" in letta("agents", "delete", "ada")
    raw_sql(letta_home, "UPDATE agents SET deleted_at = '2020-01-01T00:00:00.000Z' WHERE name = 'ada'")
    assert "ada" in letta("agents") and "removed for good" not in letta("agents")
    assert [row["name"] for row in rows(letta, "--deleted")] == ["Bob the Builder"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["fly"], "It has: list, create"),
        (["create"], "one name"),
        (["create", "a", "b"], "one name"),
        (["rename", "a"], "two names"),
        (["describe", "a"], "NAME and a text"),
        (["use", "zoe"], "no agent 'zoe'"),
        (["import", "/nowhere.json"], "cannot be read"),
        (["list", "x"], "flags only"),
    ],
)
def test_what_is_wrong_is_said(letta: Letta, argv: list[str], words: str) -> None:
    assert words in letta("agents", *argv, code=1 if argv[0] == "import" else 2)


def test_help_of_all_and_of_each(letta: Letta) -> None:
    text = letta("agents", "--help")
    for name in ("list", "create", "rename", "describe", "use", "delete", "restore", "export", "import"):
        assert f"  {name} " in text and f"letta-code agents {name}" in letta("agents", name, "--help")


def test_out_and_in_again(letta: Letta, letta_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = filled(letta_home)
    monkeypatch.setenv("OPENAI_API_KEY", "the parser")  # said in the conversation: it must not leave
    told = letta("agents", "export", "ada")
    assert " and 1 conversation are in" in told and "Taken out: 2 texts that look like" in told
    file = Path("ada.letta.json")
    assert oct(file.stat().st_mode)[-3:] == "600"
    assert "already" in letta("agents", "export", "ada", code=2)
    letta("agents", "export", "ada", "--replace", "-o", str(file))
    letta("agents", "export", "ada", "-o", ".", "--replace")
    letta("agents", "export", "ada", "--folder", "-o", "out")
    assert "already" in letta("agents", "export", "ada", "--folder", "-o", "out", code=1)
    letta("agents", "export", "ada", "--folder", "-o", "out", "--replace")
    Path("mine").mkdir()
    Path("mine/agent.json").write_text("{}")
    Path("mine/thesis.txt").write_text("years of work")
    assert "already" in letta("agents", "export", "ada", "--folder", "-o", "mine", "--replace", code=1)
    assert Path("mine/thesis.txt").read_text() == "years of work"
    assert "stdout" in letta("agents", "export", "ada", "-o", "-", code=2) and not Path("-").exists()
    told = letta("agents", "import", str(file))
    assert f"{name} is conv-" in told and "ada 2" in told and "Bash(make)" in told
    assert "called ada" in letta("agents", "import", "out", "--name", "ada", code=2)
    letta("agents", "import", "out", "--name", "eve")
    assert {row["name"] for row in rows(letta)} == {"ada", "ada 2", "eve"}
    assert {row["conversations"] for row in rows(letta)} == {1}


def test_a_purge_comes_after_the_deed_and_never_stops_it(letta: Letta, letta_home: Path) -> None:
    name = filled(letta_home)
    letta("agents", "create", "bob")
    letta("agents", "delete", "ada")
    (letta_home / "conversations" / f"{name}.notes").mkdir()
    raw_sql(letta_home, "UPDATE agents SET deleted_at = '2020-01-01T00:00:00.000Z' WHERE name = 'ada'")
    assert "is back" in letta("agents", "restore", "ada")
    letta("agents", "delete", "ada")
    raw_sql(letta_home, "UPDATE agents SET deleted_at = '2020-01-01T00:00:00.000Z' WHERE name = 'ada'")
    raw_sql(letta_home, "CREATE TRIGGER no BEFORE DELETE ON agents BEGIN SELECT RAISE(ABORT, 'no room'); END")
    told = letta("agents")
    assert "bob" in told and "could not be removed" in told
    assert (letta_home / "conversations" / f"{name}.jsonl").exists()
    raw_sql(letta_home, "DROP TRIGGER no")
    assert "removed for good" in letta("agents")
    assert not (letta_home / "conversations" / f"{name}.jsonl").exists()
    assert (letta_home / "conversations" / f"{name}.notes").is_dir()


def test_lists_name_the_agent_where_there_are_several(letta: Letta, letta_home: Path) -> None:
    filled(letta_home)
    for argv in (("conversations", "--all"), ("conversations", "--search", "parser")):
        assert "ada" not in letta(*argv)
    letta("agents", "create", "bob")
    assert "  ada  " in letta("conversations", "--all") and "  ada: " in letta("conversations", "--search", "parser")


def test_use_is_told_what_goes_before_it(letta: Letta, letta_home: Path) -> None:
    letta("agents", "create", "ada")
    (letta_home / "config.yaml").write_text("agent: zoe\n")
    assert "`agent` (zoe) goes before that" in letta("agents", "use", "ada")


def test_search_and_export_of_conversations(letta: Letta, letta_home: Path) -> None:
    name = filled(letta_home)
    told = letta("conversations", "--search", "parser")
    assert f"{name}#5" in told and "(title)" in told and "(all words)" in told
    found = json.loads(letta("conversations", "--search", "parser", "--json", "--agent", "ada"))
    assert [(one["seq"], one["found_by"]) for one in found] == [(0, "title"), (5, "all words")]
    assert "Nothing" in letta("conversations", "--search", "parser", "--until", "2001-01-01")
    assert "needs --search" in letta("conversations", "--since", "2001-01-01", code=2)
    assert "every folder" in letta("conversations", "--search", "mend", "parser", code=2)
    document = letta("export", name, "--format", "markdown")
    assert document.startswith("# Mend the parser\n") and "**Bash**" in document
    letta("export", name, "--format", "markdown", "-o", "talk.md")
    assert Path("talk.md").read_text() == document
    letta("export", name, "-o", "told-by-its-ending.md")
    assert Path("told-by-its-ending.md").read_text() == document
    letta("export", name, "-o", "talk.html")
    assert Path("talk.html").read_text() == letta("export", name, "--format", "html")
    assert "<h1>Mend the parser</h1>" in Path("talk.html").read_text()
    assert letta("export", name).count("\n") == 9


def test_lists_of_one_agent(letta: Letta, letta_home: Path) -> None:
    name = filled(letta_home)
    paths = Paths(home=letta_home)
    with Store.open(paths.database, run_dir=paths.run, redactor=NoSecrets()) as store:
        asyncio.run(store.agents.create("bob"))
    assert name in letta("conversations", "--all", "--agent", "ada")
    assert "no conversation" in letta("conversations", "--all", "--agent", "bob")


def test_configure_makes_the_default_agent(letta: Letta) -> None:
    letta("configure", "--model", "openai/some", "--no-test")
    assert [row["name"] for row in rows(letta)] == ["letta"]
    letta("agents", "rename", "letta", "Ada")
    letta("configure", "--model", "openai/other", "--no-test")
    assert [row["name"] for row in rows(letta)] == ["Ada"]


def test_a_conversation_stays_with_its_agent(tmp_path: Path) -> None:
    """Asked for with another one it is refused: it would be read with memory that is not its own."""
    script = tmp_path / "script.yaml"
    script.write_text("answers: [{text: Hello.}]\n")

    def letta(*argv: str) -> subprocess.CompletedProcess[str]:
        call = [sys.executable, "-I", "-m", "letta_code", *argv]
        return subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, timeout=40, check=False)

    for name in ("ann", "bob"):
        assert letta("agents", "create", name).returncode == 0
    assert letta("-p", "hi", "--agent", "ann", "--model", f"scripted:{script}").returncode == 0
    refused = letta("-p", "hi", "--continue", "--agent", "bob", "--model", f"scripted:{script}")
    assert (refused.returncode, "There is no conversation of bob in" in refused.stderr) == (2, True)
    assert "the newest there is ann's" in refused.stderr and "--resume conv-" in refused.stderr
    (journal,) = Paths.find().conversations.glob("*.jsonl")
    refused = letta("-p", "hi", "--resume", journal.stem, "--agent", "bob", "--model", f"scripted:{script}")
    assert (refused.returncode, "This conversation is ann's, not bob's." in refused.stderr) == (2, True)
    assert letta("-p", "hi", "--resume", journal.stem, "--model", f"scripted:{script}").returncode == 0
    assert letta("agents", "use", "bob").returncode == 0
    refused = letta("-p", "hi", "--continue", "--model", f"scripted:{script}")  # the folder's agent is another one now
    assert (refused.returncode, "There is no conversation of bob in" in refused.stderr) == (2, True)
    assert letta("-p", "hi", "--model", f"scripted:{script}").returncode == 0
    assert letta("agents", "use", "ann").returncode == 0
    assert letta("-p", "hi", "--continue", "--model", f"scripted:{script}").returncode == 0
    lines = {path.stem: path.read_text().count('"user_message"') for path in Paths.find().conversations.glob("*.jsonl")}
    assert lines[journal.stem] == 3 and sorted(lines.values()) == [1, 3]


def test_what_was_deleted_long_ago_goes_in_a_quiet_moment_of_a_run(tmp_path: Path, letta_home: Path) -> None:
    script = tmp_path / "script.yaml"
    script.write_text("answers: [{text: Hello.}]\n")
    _, store = open_home(letta_home)
    with store:
        old, new = asyncio.run(store.agents.create("old")), asyncio.run(store.agents.create("new"))
        for one in (old, new):
            asyncio.run(store.agents.delete(one.id))
    raw_sql(letta_home, f"UPDATE agents SET deleted_at = '2020-01-01T00:00:00.000Z' WHERE id = '{old.id}'")
    call = [sys.executable, "-I", "-m", "letta_code", "-p", "hi", "--model", f"scripted:{script}"]
    assert subprocess.run(call, cwd=tmp_path, capture_output=True, timeout=40, check=False).returncode == 0
    assert raw_sql(letta_home, "SELECT name FROM agents WHERE deleted_at <> ''") == [("new",)]
    assert not (letta_home / "agents" / old.id).exists() and (letta_home / "agents" / new.id).exists()
    assert "old" in next((letta_home / "logs").glob("*")).read_text()
