"""Going back and forth with real files: what runs did by tools and shell, what was said, what memory holds."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from letta_code.agent.port import SessionOptions
from letta_code.agent.rewinding import CODE, CONVERSATION, MEMORY
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.config.settings import CheckpointSettings, Settings
from letta_code.core import events as ev
from letta_code.core.errors import UsageError
from letta_code.core.messages import UserText, text_of


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A project with a repository of the person's, one file committed, one not."""
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "a.txt").write_text("one\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "-c", "user.name=p", "-c", "user.email=p@x", "add", "a.txt")
    git(folder, "-c", "user.name=p", "-c", "user.email=p@x", "commit", "-q", "-m", "first", "--date=2020-01-01")
    (folder / "loose.txt").write_text("not known to git\n")
    return folder


def git(folder: Path, *arguments: str) -> str:
    date = {"GIT_COMMITTER_DATE": "2020-01-01T00:00:00Z"} if "--date=2020-01-01" in arguments else {}
    env = {**os.environ, **date}
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, env=env)
    return done.stdout


def theirs(folder: Path) -> tuple[str, ...]:
    """What of the person's git must never change: HEAD, branches, index, stash, reflog."""
    index = hashlib.sha256((folder / ".git/index").read_bytes()).hexdigest()
    asked = (("rev-parse", "HEAD"), ("branch", "-a"), ("stash", "list"), ("reflog", "--all"))
    return (index, *(git(folder, *one) for one in asked))


def tree(folder: Path) -> dict[str, bytes]:
    """All files but git's."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def turn(text: str = "", *calls: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    return {"text": text, "tools": [{"name": name, "args": args} for name, args in calls]}


def write(path: str, content: str) -> tuple[str, dict[str, Any]]:
    return "Write", {"path": path, "content": content}


def bash(command: str) -> tuple[str, dict[str, Any]]:
    return "Bash", {"command": command}


def remember(text: str) -> tuple[str, dict[str, Any]]:
    return "memory", {"command": "insert", "label": "human", "insert_text": text}


Opener = Callable[..., Any]


@pytest.fixture
def opened(work: Path, tmp_path: Path) -> Opener:
    """Opens the conversation with a script of turns (`last` or a new one)."""
    script = tmp_path / "script.json"

    @asynccontextmanager
    async def open_it(
        turns: Sequence[dict[str, Any]] | None = None, *, conversation: str = "", **settings: Any
    ) -> AsyncIterator[Session]:
        if turns is not None:
            script.write_text(json.dumps({"turns": list(turns), "info": {"edit_family": "edit"}}))
        options = SessionOptions(
            trusted=True,
            cwd=str(work),
            settings=Settings(model=f"scripted:{script}", **settings),
            conversation=conversation,
            mode="full",
            face="test",
        )
        session = await start_session(options)
        try:
            yield session
        finally:
            await session.close()

    return open_it


async def say(session: Session, text: str) -> ev.RunFinished:
    await session.send(text)
    ended = await session.idle()
    assert ended is not None
    assert ended.reason == ev.StopReason.DONE, (ended.error, ended.hint)
    return ended


async def go(session: Session, wanted: str, *what: str) -> ev.Rewound:
    way = session.checkpoints.rewinding
    return await way.go(await way.preview(await way.find(wanted)), what)


async def undo(session: Session) -> ev.Rewound:
    way = session.checkpoints.rewinding
    return await way.go(await way.preview(await way.last_run()), verb="Undone:")


async def redo(session: Session) -> ev.Rewound:
    way = session.checkpoints.rewinding
    return await way.go(await way.preview(await way.last_undone()), verb="Redone:")


def spoken(session: Session) -> list[str]:
    return [text_of(message.content) for message in session.history.messages if isinstance(message, UserText)]


def human(session: Session) -> str:
    return session.memory.blocks.view().find("human").value


THREE = (
    turn("I write.", write("b.txt", "new\n"), bash("echo two >> a.txt; mkdir -p sub; echo deep > sub/c.txt")),
    turn("Done one."),
    turn("More.", bash("rm a.txt; echo more > loose.txt"), remember("likes tea")),
    turn("Done two."),
    turn("Done three, nothing changed."),
)


async def test_a_run_with_effects_has_one_checkpoint_and_one_without_has_none(opened: Opener, work: Path) -> None:
    async with opened((*THREE[:2], THREE[4])) as session:
        await say(session, "first")
        await say(session, "second")
        made = session.history.checkpoints
        assert [one.kind for one in made] == ["run"]
        events = await session.log()
        first = next(event for event in events if isinstance(event, ev.UserMessage))
        assert made[0].until_seq == first.seq - 1
        assert made[0].files == 2
        assert made[0].note == ""
        store = Paths.find().checkpoints
        assert [path.is_dir() for path in store.iterdir()] == [True]


async def test_undo_goes_back_run_by_run_and_redo_comes_back(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        states = [(tree(work), "")]
        mine = theirs(work)
        for text in ("first", "second", "third"):
            await say(session, text)
            states.append((tree(work), human(session)))
        assert (work / "sub/c.txt").exists()
        assert "likes tea" in human(session)
        assert spoken(session) == ["first", "second", "third"]
        await undo(session)  # the run without effects
        assert spoken(session) == ["first", "second"]
        assert tree(work) == states[2][0]
        await undo(session)
        assert spoken(session) == ["first"]
        assert tree(work) == states[1][0]
        assert "likes tea" not in human(session)
        await undo(session)
        assert spoken(session) == []
        assert tree(work) == states[0][0]
        assert not (work / "sub").exists()
        with pytest.raises(UsageError, match="nothing to undo"):
            await undo(session)
        for state, said in zip(states[1:], (1, 2, 3), strict=True):
            await redo(session)
            assert tree(work) == state[0]
            assert human(session) == state[1]
            assert spoken(session) == ["first", "second", "third"][:said]
        with pytest.raises(UsageError, match="nothing to redo"):
            await redo(session)
        assert theirs(work) == mine


async def test_what_is_said_after_an_undo_takes_the_place_and_ends_the_redo(opened: Opener, work: Path) -> None:
    turns = (*THREE[:2], turn("Instead.", bash("echo other > d.txt")), turn("Done."))
    async with opened((*THREE[:2], *THREE[2:4])) as session:
        await say(session, "first")
        await say(session, "second")
        await undo(session)
    async with opened(turns, conversation="last") as session:
        assert spoken(session) == ["first"]
        await say(session, "instead")
        assert spoken(session) == ["first", "instead"]
        assert (work / "d.txt").exists()
        with pytest.raises(UsageError, match="nothing to redo"):
            await redo(session)
        await undo(session)
        assert not (work / "d.txt").exists()
        assert spoken(session) == ["first"]


async def test_saved_by_name_and_back_in_parts(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        await say(session, "first")
        saved = await session.checkpoints.save("good state")
        then = tree(work)
        await say(session, "second")
        later = tree(work)
        done = await go(session, "Good State", CODE)
        assert tree(work) == then
        assert done.what == (CODE,)
        assert (done.written, done.removed) == (2, 0)
        assert spoken(session) == ["first", "second"]
        told = session.history.messages[-1]
        assert "2 files changed: a.txt, loose.txt" in told.text
        assert "likes tea" in human(session)
        await go(session, done.undo, CODE)  # a rewind is undone by the checkpoint before it
        assert tree(work) == later
        await go(session, saved.checkpoint_id, CONVERSATION)
        assert spoken(session) == ["first"]
        assert tree(work) == later
        assert "Files were not set back" in session.history.messages[-1].text
        await go(session, "good state", MEMORY)
        assert "likes tea" not in human(session)


async def test_the_request_after_a_rewind_grows_from_the_request_of_then(opened: Opener, work: Path) -> None:
    async with opened((*THREE[:4], THREE[4])) as session:
        await say(session, "first")
        before, messages = session.context_request(), list(session.history.messages)
        pinned = session.history.pinned
        await say(session, "second")
        await undo(session)
        assert session.history.messages == messages
        assert session.context_request() == before
        assert session.history.pinned == pinned
    async with opened((*THREE[:2], turn("Other.")), conversation="last") as session:
        assert session.history.messages[: len(messages)] == messages
        await say(session, "other")
        after = session.context_request()
        end = before.rindex(b"]")
        assert after.startswith(before[:end])


async def test_a_resumed_conversation_is_the_same_as_the_live_one(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        for text in ("first", "second", "third"):
            await say(session, text)
        await undo(session)
        await undo(session)
        live = (session.history.messages, session.history.usage, session.history.client_ids, session.history.todo)
        events = [event async for event in _all(session)]
        assert not any(isinstance(event, ev.UserMessage) and text_of(event.content) == "second" for event in events)
    async with opened(conversation="last") as session:
        assert (
            session.history.messages,
            session.history.usage,
            session.history.client_ids,
            session.history.todo,
        ) == live


async def _all(session: Session) -> AsyncIterator[ev.Event]:
    last = session.history.last_seq
    async for event in session.events(0):
        if isinstance(event, ev.Durable):
            yield event
            if event.seq >= last:
                return


async def test_a_command_that_destroys_has_a_checkpoint_of_its_own(opened: Opener, work: Path) -> None:
    turns = (
        turn("", write("b.txt", "precious\n")),
        turn("", bash("git checkout -- . && git clean -fdq")),
        turn("", bash("git checkout -- .")),
        turn("Oh."),
    )
    async with opened(turns) as session:
        await say(session, "clean up")
        kinds = [one.kind for one in session.history.checkpoints]
        assert kinds == ["run", "danger", "danger"]  # the third found another tree than the second
        assert not (work / "b.txt").exists()
        assert not (work / "loose.txt").exists()
        await go(session, "2", CODE)
        assert (work / "b.txt").read_text() == "precious\n"
        assert (work / "loose.txt").exists()
        rewound = await go(session, "2", CONVERSATION)
        assert not session.history.open_calls
        assert rewound.to_seq == session.history.checkpoints[1].until_seq


async def test_nothing_is_made_when_it_is_off(opened: Opener, work: Path) -> None:
    async with opened(THREE, checkpoints=CheckpointSettings(auto=False)) as session:
        await say(session, "first")
        assert session.history.checkpoints == []
        await undo(session)  # the conversation goes back, files stay
        assert spoken(session) == []
        assert (work / "b.txt").exists()


async def test_a_run_goes_on_where_no_snapshot_can_be_made(
    opened: Opener, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(THREE) as session:
        empty = work.parent / "empty"
        empty.mkdir()
        monkeypatch.setenv("PATH", str(empty))
        await session.send("first")
        await session.idle()
        monkeypatch.undo()
        (made,) = session.history.checkpoints
        assert made.tree == ""
        assert "git" in made.note
        notices = [event for event in await session.log() if isinstance(event, ev.Notice) and event.code == "files"]
        assert len(notices) == 1
        way = session.checkpoints.rewinding
        preview = await way.preview(await way.find("1"))
        assert CODE not in preview.parts
        assert any("not kept" in text for text in preview.warnings)


async def test_what_changed_since_the_preview_is_told_and_not_overwritten(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        await say(session, "first")
        way = session.checkpoints.rewinding
        preview = await way.preview(await way.last_run())
        assert [(one.path, one.kind) for one in preview.files] == [
            ("a.txt", "changed"),
            ("b.txt", "deleted"),
            ("sub/c.txt", "deleted"),
        ]
        diff = await way.diff(preview, "a.txt")
        assert "-two" in diff.diff
        (work / "b.txt").write_text("mine now\n")
        done = await way.go(preview)
        assert (work / "b.txt").read_text() == "mine now\n"
        assert any("b.txt" in text for text in done.failed)
        assert (work / "a.txt").read_text() == "one\n"
        notice = next(e for e in reversed(await session.log()) if isinstance(e, ev.Notice))
        assert notice.level == "warning"
        assert "b.txt" in notice.text
        assert "some files stayed" in session.history.messages[-1].text


async def test_a_preview_that_the_conversation_has_left_behind_is_refused(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        await say(session, "first")
        way = session.checkpoints.rewinding
        preview = await way.preview(await way.last_run())
        await say(session, "second")
        with pytest.raises(UsageError, match="went on"):
            await way.go(preview)
        assert spoken(session) == ["first", "second"]


async def test_cleaned_files_and_a_lost_folder_are_said_and_the_conversation_still_goes_back(
    opened: Opener, work: Path
) -> None:
    async with opened(THREE) as session:
        await say(session, "first")
        trees = session.checkpoints.trees
        assert trees is not None
        name = session.history.checkpoints[0].checkpoint_id
        await trees.use(lambda store: store.drop(name))
        way = session.checkpoints.rewinding
        preview = await way.preview(await way.last_run())
        assert preview.parts == (CONVERSATION, MEMORY)
        assert any("cleaned away" in text for text in preview.warnings)
        await way.go(preview)
        assert spoken(session) == []
        assert (work / "b.txt").exists()


async def test_what_no_checkpoint_brings_back_is_said(opened: Opener, work: Path) -> None:
    turns = (
        turn(
            "",
            write("b.txt", "x\n"),
            bash("git -c user.name=p -c user.email=p@x commit -qam made || true"),
            bash("git push -q origin main || true"),
        ),
        turn("Done."),
    )
    async with opened(turns) as session:
        await say(session, "publish")
        (work / "a.txt").write_text("x\n")
        git(work, "-c", "user.name=p", "-c", "user.email=p@x", "commit", "-qam", "by hand")
        head = git(work, "rev-parse", "HEAD")
        way = session.checkpoints.rewinding
        preview = await way.preview(await way.last_run())
        assert any("git push" in text for text in preview.warnings)
        assert any("1 commit since then stay" in text and "by hand" in text for text in preview.warnings)
        await way.go(preview)
        assert git(work, "rev-parse", "HEAD") == head
        told = next(e for e in reversed(await session.log()) if isinstance(e, ev.Notice))
        assert "git push" in told.text  # /undo acts at once: what stays is said then
        assert (work / "a.txt").read_text() == "one\n"


async def test_cut_off_before_the_event_is_told_at_the_next_start(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        await say(session, "first")
        later = tree(work)
        way = session.checkpoints.rewinding
        preview = await way.preview(await way.last_run())
        undo_point = await session.checkpoints.before_rewind()
        trees = session.checkpoints.trees
        assert trees is not None
        await trees.use(lambda store: store.restore(preview.target.checkpoint.tree, now=preview.tree))
        # the process dies here: no `Rewound`
    async with opened(conversation="last") as session:
        events = await session.log()
        notice = next(e for e in reversed(events) if isinstance(e, ev.Notice) and e.code == "rewind")
        assert "`/rewind 2 all`" in notice.hint
        assert (await session.checkpoints.rewinding.find("2")).checkpoint.checkpoint_id == undo_point.checkpoint_id
        assert "set back in part" in session.history.messages[-1].text
        assert spoken(session) == ["first"]
        await go(session, undo_point.checkpoint_id, CODE)
        assert tree(work) == later
    async with opened(conversation="last") as session:
        told = [e for e in await session.log() if isinstance(e, ev.Notice) and e.code == "rewind"]
        assert len(told) == 1


async def test_what_was_taken_back_is_found_and_marked_and_no_part_of_an_export(opened: Opener, work: Path) -> None:
    from letta_code.commands.export import document

    async with opened(THREE) as session:
        await say(session, "first zebra")
        await say(session, "second zebra")
        await undo(session)
        found = session.memory.recall.search("zebra", roles=("user",)).found
        assert sorted((one.text, "taken back" in one.found_by) for one in found) == [
            ("first zebra", False),
            ("second zebra", True),
        ]
        conversation = session.store.conversations.get(session.conversation_id)
        assert conversation is not None
        for html in (False, True):
            text = document(session.store, conversation, html=html).decode()
            assert "first zebra" in text
            assert "second zebra</" not in text
            assert "\nsecond zebra" not in text


async def test_a_fork_of_a_rewound_conversation_is_what_counts(opened: Opener, work: Path) -> None:
    from letta_code.agent.forking import fork_conversation

    async with opened(THREE) as session:
        await say(session, "first")
        await say(session, "second")
        await undo(session)
        copy = await fork_conversation(session.store, Paths.find(), session.conversation_id)
        messages = session.history.messages
    async with opened(conversation=copy) as session:
        assert session.history.messages == messages
        await redo(session)
        assert spoken(session) == ["first", "second"]
        assert not (work / "a.txt").exists()


async def test_a_compaction_after_a_rewind_reads_only_what_counts(opened: Opener, work: Path) -> None:
    async with opened(THREE) as session:
        for text in ("first", "second", "third"):
            await say(session, text)
        await undo(session)
        await undo(session)
        read = await session.read(0, session.history.last_seq)
        said = [text_of(event.content) for event in read if isinstance(event, ev.UserMessage)]
        assert said == ["first"]
        assert len(await session.log()) > len(read)


async def test_hostile_names_are_kept_and_shown(opened: Opener, work: Path) -> None:
    odd = os.fsdecode(b"we\x1b[31mird\xff\n.txt")
    (work.parent / "name").write_bytes(os.fsencode(odd))
    async with opened(
        (turn("", bash("python3 -c \"open(open('../name','rb').read(),'w').write('x')\"")), turn("ok"))
    ) as session:
        await say(session, "make it")
        assert (work / odd).exists()
        way = session.checkpoints.rewinding
        preview = await way.preview(await way.last_run())
        from letta_code.agent.rewinding.words import preview_text

        shown = preview_text(preview, preview.parts)
        assert "\x1b" not in shown
        assert "ird" in shown
        await way.go(preview)
        assert not (work / odd).exists()
