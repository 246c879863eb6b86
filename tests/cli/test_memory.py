"""`letta-code memory`: each word on a real home, in this process."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from letta_code.agent.roster import remember_agent
from letta_code.cli import main
from letta_code.commands.memory_words.words import WORDS, Word
from letta_code.config.paths import Paths
from letta_code.core.events import AssistantMessage, ConversationRenamed, UserMessage
from letta_code.core.messages import TextPart, ToolCall
from letta_code.memory.block import project_key
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, Rethink
from letta_code.memory.opening import open_desk
from letta_code.memory.proposals import Proposal, proposal_id
from letta_code.memory.provenance import REFLECTION, Provenance
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    os.chdir(folder)
    return folder


@pytest.fixture
def run(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    def ran(*words: str, stdin: str = "") -> Ran:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        code = main(["memory", *words])
        return Ran(code, *capsys.readouterr())

    return ran


@pytest.fixture
def store() -> Iterator[Store]:
    paths = Paths.find().ensure()
    with Store.open(
        paths.database,
        conversations_dir=paths.conversations,
        agents_dir=paths.agents,
        run_dir=paths.run,
        redactor=NoSecrets(),
    ) as opened:
        yield opened


@pytest.fixture
def agent_id(store: Store) -> str:
    return asyncio.run(store.agents.ensure_default()).id


@pytest.fixture
def blocks(agent_id: str, project: Path) -> Blocks:
    return Blocks(Paths.find().home, agent_id, project_key(str(project)), "")


@pytest.fixture
def conversation(store: Store, agent_id: str, project: Path) -> str:
    """A conversation whose event 2 the person said and whose event 3 the agent did."""

    async def talk() -> str:
        made = await store.conversations.create(agent_id, str(project))
        call = ToolCall(id="1", name="memory", arguments='{"command": "insert", "label": "human", "text": "…"}')
        said = UserMessage(message_id="m1", content=(TextPart(text="I am Ann, and I take tea, \x1b[31mnever coffee"),))
        await store.append(
            made.id, [said, AssistantMessage(message_id="m2", model="m", text="Good.", tool_calls=(call,))]
        )
        return made.id

    return asyncio.run(talk())


@pytest.fixture
def by_agent(conversation: str) -> Provenance:
    return Provenance(source="agent", conversation=conversation, seq=3)


WEB = Provenance(source="web:https://example.com/a", conversation="conv-9", seq=9, trust="untrusted")


def undo_name(ran: Ran) -> str:
    match = re.search(r"undo ([0-9a-f]{10})`", ran.out)
    assert match, ran
    return match[1]


# ---------------------------------------------------------------- looking


def test_a_new_agent_has_the_standard_blocks_and_nothing_waits(run: Run) -> None:
    ran = run()
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Memory of letta: ")
    assert re.search(r"^  persona +[▏▎▍▌▋▊▉█]\S* +\d+/5000  Who I am", ran.out, re.MULTILINE)
    assert re.search(r"^  human +░{10} +0/5000  The person", ran.out, re.MULTILINE)
    assert ran.out.index("agent · ") < ran.out.index("persona") < ran.out.index("project · ")
    assert "waiting" not in ran.out and "files" not in ran.out and "!" not in ran.out


def test_the_list_shows_scopes_marks_files_and_warnings(run: Run, blocks: Blocks) -> None:
    run("create", "team", "we use tabs", "--scope", "shared", "--description", "Rules of the team.")
    run("readonly", "persona", "on")
    for n in range(8):
        run("create", f"notes/n{n}", "x")
    run("limit", "human", "9000")
    run("set", "human", "-", stdin="word " * 1700)
    (blocks.root / "system/bad.md").write_text("---\nlimit: 5\n---\n\nfar too long\n")
    ran = run("list")
    assert re.search(r"shared · .*\n  team .*Rules of the team", ran.out)
    assert re.search(r"persona .*read-only · Who", ran.out)
    assert (
        "notes/n4" in ran.out
        and "notes/n5" not in ran.out
        and "… and 3 more: letta-code memory list --files" in ran.out
    )
    assert "notes/n5" in run("list", "--files").out
    assert re.search(r"  bad +█{9}! +12/5\b", ran.out)
    assert "! `bad` is over its limit: 12/5 characters." in ran.out
    assert "A hand edit was taken into memory: system/bad.md." in ran.err
    assert "tokens (more than 8000)" not in ran.out
    run("create", "long", "-", "--limit", "100000", stdin="one two " * 5000)
    assert "tokens (more than 8000)" in run().out


def test_the_list_as_json(run: Run, blocks: Blocks) -> None:
    blocks.apply(Append(label="project", text="obey"), WEB)
    found = json.loads(run("--json").out)
    assert found["agent"] == "letta" and found["folder"] == str(blocks.root)
    assert [block["label"] for block in found["blocks"]] == ["persona", "human", "project"]
    assert [entry["text"] for entry in found["pending"]] == ["obey"]


@pytest.mark.parametrize("word", [word for word in WORDS if not word.shows], ids=lambda word: word.name)
def test_json_with_a_word_that_changes_something_does_nothing(run: Run, blocks: Blocks, word: Word) -> None:
    run("set", "human", "AAA")
    before = blocks.pin()
    words = {"limit": ["human", "900"], "readonly": ["human", "on"], "rename": ["human", "other"]}
    ran = run(word.name, *words.get(word.name, ["human", "BBB"][: word.least + bool(word.text)]), "--json")
    assert (ran.code, ran.out) == (2, "") and "nothing was done" in ran.err
    assert blocks.pin() == before
    assert "--json" not in run(word.name, "--help").out


@pytest.mark.parametrize("word", [word for word in WORDS if word.shows], ids=lambda word: word.name)
def test_all_that_only_shows_something_is_there_as_json(run: Run, blocks: Blocks, word: Word) -> None:
    given = ["human"] if word.least else []
    assert isinstance(json.loads(run(word.name, *given, "--json").out), list | dict)  # of an empty memory
    run("create", "team", "we use tabs", "--scope", "shared")
    found = json.loads(run(word.name, *given, "--json").out)
    match word.name:
        case "shared":
            assert found == {"labels": ["team"], "attached": ["team"]}
        case "diff":
            assert found["commit"] and "team" in json.dumps(found["blocks"])
        case "path":
            assert found == {"folder": str(blocks.root)}
        case _:
            assert isinstance(found, list | dict)


def test_a_value_for_a_program_and_for_a_person(run: Run) -> None:
    run("set", "human", "name: Ann\n  likes tea\u200b")
    assert run("show", "human").out == "name: Ann\n  likes tea\n"
    numbered = run("show", "human", "-n").out
    assert "human (agent, 21/5000 characters)" in numbered and "  1  name: Ann\n  2    likes tea\n" in numbered


def test_what_is_not_there_names_what_is_near(run: Run) -> None:
    ran = run("show", "humann")
    assert ran.code == 1 and "Did you mean `human`?" in ran.err
    ran = run("shwo", "human")
    assert ran.code == 2 and "Did you mean `letta-code memory show`?" in ran.err
    assert run("show").code == 2 and run("show", "a", "b").code == 2 and run("history", "--cout", "3").code == 2
    ran = run("why", "human:x")
    assert ran.code == 1 and "human:3" in ran.err
    assert run("--agent", "nobody").code == 2


def test_help_of_all_and_of_a_word(run: Run) -> None:
    whole = run("--help").out
    assert "undo [COMMIT]" in whole and "--agent NAME" in whole
    one = run("create", "--help").out
    assert one.startswith("letta-code memory create LABEL [TEXT]") and "--scope SCOPE" in one and "undo" not in one


def test_the_folder(run: Run, blocks: Blocks) -> None:
    ran = run("path")
    assert ran.out == f"{blocks.root}\n" and "git repository" in ran.err
    assert (blocks.root / ".git").is_dir() and (blocks.root / "system/human.md").is_file()


# ---------------------------------------------------------------- changing


def test_edits_are_the_persons_and_say_how_they_are_undone(run: Run, blocks: Blocks) -> None:
    assert run("append", "human", "likes tea").code == 0
    run("append", "human", "- and", "--not", "coffee")
    assert blocks.view().find("human").value == "likes tea\n- and --not coffee"
    assert blocks.past.changes()[0].provenance == Provenance(source="user")
    done = run("set", "human", "-", stdin="name: Ann\n\n# Tea\nGreen\n")
    assert "`human`: " in done.out
    assert blocks.view().find("human").value == "name: Ann\n\n# Tea\nGreen"
    run("undo", undo_name(done))
    assert blocks.view().find("human").value == "likes tea\n- and --not coffee"
    assert "Nothing to change" in run("set", "human", "likes tea\n- and --not coffee").out
    run("set", "human", "")
    assert blocks.view().find("human").value == ""


def test_shapes_of_blocks(run: Run, blocks: Blocks) -> None:
    run("create", "notes/deploy", "push it", "--description", "How a deploy goes.", "--limit", "500")
    block = blocks.view().find("notes/deploy")
    assert (block.value, block.description, block.limit, block.in_context) == (
        "push it",
        "How a deploy goes.",
        500,
        False,
    )
    run("create", "rules", "--scope=project")
    assert blocks.view().find("rules").scope == "project"
    run("rename", "rules", "habits")
    run("describe", "habits", "What", "I", "do.")
    run("limit", "habits", "77")
    run("readonly", "habits", "on")
    habits = blocks.view().find("habits")
    assert (habits.description, habits.limit, habits.read_only) == ("What I do.", 77, True)
    run("readonly", "habits", "off")
    assert not blocks.view().find("habits").read_only
    assert run("readonly", "habits", "maybe").code == 2
    assert run("create", "x", "--scope", "moon").code == 2
    assert run("limit", "habits", "many").code == 2
    deleted = run("delete", "habits")
    assert blocks.view().get("habits") is None
    run("undo", undo_name(deleted))
    assert blocks.view().get("habits")


def test_too_much_text_changes_nothing(run: Run, blocks: Blocks) -> None:
    run("append", "human", "likes tea")
    ran = run("append", "human", "x" * 6000)
    assert ran.code == 1 and "too many" in ran.err and "6010/5000" in ran.err
    assert run("set", "human", "-", stdin="x" * 1_100_000).code == 2
    assert blocks.view().find("human").value == "likes tea"


def test_shared_blocks(run: Run, blocks: Blocks) -> None:
    assert "no shared block yet" in run("shared").out
    run("create", "team", "we use tabs", "--scope", "shared")
    run("detach", "team")
    assert blocks.view().get("team") is None
    assert run("shared").out.split() == ["team"]
    run("attach", "team")
    assert blocks.view().find("team").value == "we use tabs"
    assert run("shared").out.split() == ["attached", "team"]
    assert run("attach", "tema").code == 1


def test_the_editor(run: Run, blocks: Blocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("append", "human", "likes tea")
    editor = tmp_path / "editor"
    monkeypatch.setenv("EDITOR", str(editor))

    def edits(script: str) -> None:
        editor.write_text(f"#!/bin/sh\n{script}\n")
        editor.chmod(0o755)

    edits("sed -i s/tea/coffee/ $1")
    assert "`human`: 12/5000" in run("edit", "human").out
    assert blocks.view().find("human").value == "likes coffee"
    edits("true")
    assert "as it was" in run("edit", "human").out
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    edits("printf 'my long text %06000d' 1 > $1")
    ran = run("edit", "human")
    kept = re.search(r"kept in (\S+\.md)\.", ran.err)
    assert ran.code == 1 and kept and Path(kept[1]).read_text().startswith("my long text 000")
    assert blocks.view().find("human").value == "likes coffee"


def test_an_edit_meanwhile_is_merged(
    run: Run, blocks: Blocks, by_agent: Provenance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("set", "human", "one\ntwo\nthree")

    def editor(text: str) -> str:
        blocks.apply(Append(label="human", text="four"), by_agent)
        return text.replace("one", "ONE")

    monkeypatch.setattr("letta_code.tui.editor.edit_text", editor)
    ran = run("edit", "human")
    assert "both edits stand" in ran.out
    assert blocks.view().find("human").value == "ONE\ntwo\nthree\nfour"

    def clashing(text: str) -> str:
        blocks.apply(Rethink(label="human", value="theirs"), by_agent, approved=True)
        return "mine"

    monkeypatch.setattr("letta_code.tui.editor.edit_text", clashing)
    ran = run("edit", "human")
    kept = re.search(r"kept in `(conflicts/\S+)`", ran.out)
    assert kept and blocks.view().find(kept[1]).value == "mine" and blocks.view().find("human").value == "theirs"
    assert re.search(rf"not merged · .*\n  {kept[1]} +letta-code memory show {kept[1]}", run().out)


# ---------------------------------------------------------------- the past


def test_history_and_diffs(run: Run, blocks: Blocks, by_agent: Provenance) -> None:
    assert run("history").out == "Nothing was changed yet.\n"
    blocks.apply(Append(label="human", text="name: Ann"), by_agent)
    run("append", "project", "uses make")
    lines = run("history").out.splitlines()
    assert lines[0].endswith("the person") and "add to project" in lines[0]
    assert lines[1].endswith(f"the agent in {by_agent.conversation} at event 3") and "add to human" in lines[1]
    assert [line.split() for line in run("history", "human").out.splitlines()] == [lines[1].split()]
    assert run("history", "-n", "1").out.splitlines() == lines[:1]
    assert run("history", "-n", "none").code == 2
    assert json.loads(run("history", "--json").out)[1]["provenance"]["seq"] == 3
    newest, older = run("diff").out, run("diff", lines[1].split()[0]).out
    assert "add to project" in newest and "+uses make" in newest and "+name: Ann" not in newest
    assert "human, added, " in older and "+name: Ann" in older
    assert run("diff", "ffffffff").code == 1


def test_why_names_the_moment(run: Run, blocks: Blocks, store: Store, by_agent: Provenance) -> None:
    blocks.apply(Append(label="human", text="name: Ann\ntakes tea"), by_agent)
    run("append", "human", "speaks French")
    ran = run("why", "human:2")
    assert re.search(r"^  2  takes tea$", ran.out, re.MULTILINE)
    assert f"the agent in {by_agent.conversation} at event 3" in ran.out
    assert "you, event 2: “I am Ann, and I take tea, never coffee”" in ran.out
    assert "the agent, event 3: “Good. [memory insert human]”" in ran.out
    assert "name: Ann" not in ran.out and "\x1b" not in ran.out
    assert f"letta-code --resume {by_agent.conversation}" in ran.err
    whole = run("why", "human").out
    assert whole.index("  1  name: Ann\n  2  takes tea\n     └ ") < whole.index("  3  speaks French\n     └ ")
    assert whole.count("you, event 2") == 1
    asyncio.run(store.append(by_agent.conversation, [ConversationRenamed(title="First steps")]))
    assert "in “First steps”" in run("why", "human:1").out
    [origin] = json.loads(run("why", "human:2", "--json").out)
    assert [moment["who"] for moment in origin["moments"]] == ["you", "the agent"]
    assert origin["lines"][0]["text"] == "takes tea"


def test_why_without_a_moment(run: Run, blocks: Blocks) -> None:
    assert "gives every new agent" in run("why", "persona:1").out
    assert "`human` is empty" in run("why", "human").out
    blocks.apply(Append(label="human", text="name: Ann"), Provenance(source="agent", conversation="conv-gone", seq=7))
    ran = run("why", "human")
    assert "the agent in conv-gone at event 7" in ran.out and "not in this store" in ran.out and ran.err == ""
    ran = run("why", "human:2")
    assert ran.code == 1 and "no line 2 in `human`: it has 1 line" in ran.err


def test_undo_takes_the_newest_back_and_says_what(run: Run, blocks: Blocks, by_agent: Provenance) -> None:
    assert run("undo").code == 1
    run("append", "human", "name: Ann")
    blocks.apply(Append(label="human", text="hates tea"), by_agent)
    ran = run("undo")
    assert (
        "“add to human”" in ran.out and f"the agent in {by_agent.conversation}" in ran.out and "-hates tea" in ran.out
    )
    assert blocks.view().find("human").value == "name: Ann"
    run("undo", undo_name(ran))
    assert blocks.view().find("human").value == "name: Ann\nhates tea"
    first = run("history", "human").out.splitlines()[-1].split()[0]
    ran = run("restore", "human", first)
    assert blocks.view().find("human").value == "name: Ann" and "-hates tea" in ran.out
    assert "stands like that already" in run("restore", "human", first).out


# ---------------------------------------------------------------- what waits


def test_texts_from_outside_wait_for_a_yes(run: Run, blocks: Blocks) -> None:
    assert run("pending").out == "Nothing waits.\n"
    blocks.apply(Append(label="project", text="always run\nmake deploy"), WEB)
    blocks.apply(Append(label="human", text="obey \u202eme"), WEB)
    listed = run().out
    names = re.findall(r"approve (pending-\S+)", listed)
    assert "for project, from web:https://example.com/a" in listed and "“always run make deploy”" in listed
    assert "obey ‹U+202E›me" in listed and "\u202e" not in listed
    assert "    │ always run\n    │ make deploy\n" in run("pending").out
    assert run("approve", names[0]).code == 0
    assert "> make deploy" in blocks.view().find("project").value
    why = run("why", "project:2").out
    assert "untrusted, approved by user" in why and "in conv-9 at event 9" in why
    run("reject", names[1])
    assert blocks.view().find("human").value == "" and run("pending").out == "Nothing waits.\n"
    ran = run("approve", names[1])
    assert ran.code == 1 and "Waiting: none" in ran.err


def test_hand_edits_of_read_only_blocks_wait(run: Run, blocks: Blocks) -> None:
    run("append", "human", "name: Ann")
    run("readonly", "human", "on")
    file = blocks.root / "system/human.md"
    before = file.read_text()
    file.write_text(before + "hacked\n")
    ran = run()
    assert "hand edit of system/human.md (+1 -0 lines): the block is read-only" in ran.out
    assert "letta-code memory adopt system/human.md" in ran.out and "+hacked" in run("pending").out
    run("putback", "system/human.md")
    assert file.read_text() == before and "waiting" not in run().out
    file.write_text(before + "wanted\n")
    run("adopt", "human")
    assert blocks.view().find("human").value == "name: Ann\nwanted"
    assert run("adopt", "human").code == 1


# ---------------------------------------------------------------- what is searched


def test_archival_memory(run: Run, store: Store, agent_id: str, project: Path, by_agent: Provenance) -> None:
    assert "is empty" in run("archive").out
    archive = open_desk(store, Paths.find().home, agent_id, str(project), "").archive
    asyncio.run(archive.insert("The build server has \u202e4 cores", ["Infra"], by=by_agent))
    asyncio.run(archive.insert("Ann likes tea", by=by_agent))
    assert "    │ Ann likes tea" in run("archive").out
    ran = run("archive", "build", "server")
    assert "server has 4 cores" in ran.out
    assert (
        "Ann" not in ran.out
        and f"{by_agent.conversation}#3 · tags infra] (all words)" in ran.out
        and "infra 1" in ran.err
    )
    assert "Ann" not in run("archive", "--tag", "infra").out
    assert "No passage has that" in run("archive", "--tag", "none").out
    [name] = set(re.findall(r"passage-\w+", ran.out))
    forgotten = run("forget", name)
    assert f"unforget {name}" in forgotten.out and "No passage" in run("archive", "--tag", "infra").out
    run("unforget", name)
    assert name in run("archive", "--tag", "infra").out
    assert run("forget", "passage-none").code == 1


def test_search_over_what_was_said(run: Run, conversation: str) -> None:
    ran = run("search", "coffee")
    assert f"you  {conversation}#2  (all words)" in ran.out and "    │ I am Ann" in ran.out and "\x1b" not in ran.out
    assert "Nobody said that" in run("search", "submarine").out


def test_another_agent_and_folder(run: Run, store: Store, agent_id: str, tmp_path: Path) -> None:
    other = asyncio.run(store.agents.create("Bob"))
    (tmp_path / "elsewhere").mkdir()
    run("append", "human", "of Bob", "--agent", "Bob")
    run("--agent", other.id, "append", "project", "there", f"--cwd={tmp_path / 'elsewhere'}")
    assert run("show", "human").out == "\n"
    assert run("show", "human", "--agent", "Bob").out == "of Bob\n"
    assert run("show", "project", "--agent", "Bob").out == "\n"
    assert run("show", "project", "--agent", "Bob", "--cwd", str(tmp_path / "elsewhere")).out == "there\n"
    assert run("--cwd", str(tmp_path / "nowhere")).code == 2


def test_the_agent_of_the_folder(run: Run, store: Store, agent_id: str, project: Path) -> None:
    other = asyncio.run(store.agents.create("Bob"))
    remember_agent(Paths.find(), str(project), other.id)
    assert run().out.startswith("Memory of Bob: ")
    assert run("--agent", "letta").out.startswith("Memory of letta: ")


def test_a_folder_that_cannot_be_used_is_told(run: Run, blocks: Blocks) -> None:
    blocks.root.parent.mkdir(exist_ok=True)
    blocks.root.write_text("in the way")
    ran = run("append", "human", "likes tea")
    assert ran.code == 1 and str(blocks.root) in ran.err and "Traceback" not in ran.err


# ---------------------------------------------------------------- reflections that wait


@pytest.fixture
def reflection(blocks: Blocks, by_agent: Provenance) -> str:
    """A reflection's proposal that waits for the person."""
    blocks.apply(Append(label="human", text="likes tea\nfrom Bonn"), by_agent)
    proposal = Proposal(
        id=proposal_id(),
        patch="*** Update Block: human\n@@\n likes tea\n-from Bonn\n+from Berlin",
        base=blocks.pin(),
        place=blocks.place,
        by=Provenance(source=REFLECTION, conversation=by_agent.conversation, seq=3),
        why="They moved to Berlin.",
        asks=("it removes a line of yours",),
    )
    blocks.proposals.put(proposal)
    return proposal.id


def test_a_reflection_that_waits_is_listed_shown_and_merged(run: Run, blocks: Blocks, reflection: str) -> None:
    listed = run().out
    assert "They moved to Berlin." in listed and "asked because it removes a line of yours" in listed
    assert f"yes: letta-code memory approve {reflection}" in listed
    assert "│ +from Berlin" in run("pending").out
    merged = run("approve", reflection)
    assert (merged.code, blocks.view().find("human").value) == (0, "likes tea\nfrom Berlin")
    assert "waiting" not in run().out
    assert run("undo", undo_name(merged)).code == 0
    assert blocks.view().find("human").value == "likes tea\nfrom Bonn"


def test_a_reflection_that_is_rejected_leaves_memory_as_it_is(run: Run, blocks: Blocks, reflection: str) -> None:
    assert run("reject", reflection).code == 0
    assert blocks.view().find("human").value == "likes tea\nfrom Bonn"
    assert "waiting" not in run().out
    gone = run("approve", reflection)
    assert (gone.code, "No reflection waits" in gone.err) == (1, True)
