"""Bring: an agent file becomes a new agent of this home."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from letta_code import __version__
from letta_code.agent.agentfile.checks import (
    BroughtEvents,
    Notices,
    checked_history,
    good_number,
    good_time,
    is_our_id,
    replaced,
)
from letta_code.agent.agentfile.form import AgentFile, AgentFileError, FileCommit, FileConversation
from letta_code.agent.agentfile.write import version_of
from letta_code.agent.roster import free_name, own_name
from letta_code.config.paths import Paths
from letta_code.core.errors import LettaError
from letta_code.core.ids import new_id, utc_now
from letta_code.core.messages import Value
from letta_code.host.memory_replay import replay
from letta_code.memory.archival import LONGEST, good_tags
from letta_code.memory.block import (
    AGENT_FOLDER,
    ATTACHED,
    LARGEST_LIMIT,
    SUFFIX,
    Block,
    BlockError,
    check_label,
    clean_value,
)
from letta_code.memory.blocks import Blocks
from letta_code.memory.folder import Folder
from letta_code.memory.front_matter import formatted
from letta_code.memory.provenance import PROGRAM, TRUSTED, UNTRUSTED, Provenance, message
from letta_code.store.agents import Agent, good_description
from letta_code.store.database import Store
from letta_code.store.newcomer import BroughtConversation, Newcomer
from letta_code.store.passages import Passage


class Brought(Value):
    """A new agent; `renamed` are conversations that got another id (old → new), `notices` what is to be told."""

    agent: Agent
    blocks: int
    conversations: int
    passages: int
    commits: int
    renamed: Mapping[str, str]
    notices: tuple[str, ...] = ()


async def bring(store: Store, paths: Paths, file: AgentFile, *, name: str = "") -> Brought:
    """Make a new agent of a file, with new ids; whole or not at all, and nothing outside its own folder.

    Conversations keep their ids where these are free.  Raises `AgentFileError`, `UsageError` for a `name` that is
    none, `StoreError`.
    """
    notices = Notices()
    agent = _agent(store, file, name, notices)
    names = _names(store, file)
    folder = paths.folder(paths.agents) / agent.id
    try:
        ids = _memory(file, folder, names, notices)
        # Events name commits by their ids, passages and texts conversations.
        names = {**names, **{old: new for old, new in ids.items() if old != new}}
        newcomer = Newcomer(
            agent=agent,
            conversations=tuple(_conversations(file, agent, names, notices)),
            passages=tuple(_passages(file, agent, names, notices)),
        )
        await store.admit(newcomer)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise AgentFileError(f"{folder} could not be written: {error.strerror or error}.") from error
        raise
    if file.settings:
        named = ", ".join(f"{key} {value}" for key, value in file.settings.items() if isinstance(value, str) and value)
        notices.add("settings", f"Its settings are not taken over{f' ({named[:100]})' if named else ''}.")
    return Brought(
        agent=agent,
        blocks=len([block for block in Blocks(paths.home, agent.id).view().blocks if block.value]) if ids else 0,
        conversations=len(newcomer.conversations),
        passages=len(newcomer.passages),
        commits=len(ids),
        renamed={old: new for old, new in names.items() if old != new and old not in ids},
        notices=notices.told(),
    )


def _agent(store: Store, file: AgentFile, name: str, notices: Notices) -> Agent:
    now = utc_now()
    if name:
        name = own_name(store, name)
    else:
        name = free_name(store, " ".join(_printable(file.agent.name).split())[:70] or "imported")
        if name != file.agent.name:
            notices.add("name", f"The new agent is called {name!r}.")
    return Agent(
        id=new_id("agent"),
        name=name,
        created_at=now,
        updated_at=now,
        description=good_description(_printable(file.agent.description)[:1000]),
    )


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _names(store: Store, file: AgentFile) -> dict[str, str]:
    """Old → new id of the conversations that cannot keep theirs."""
    names: dict[str, str] = {}
    seen: set[str] = set()
    for one in file.conversations:
        if one.id in seen:
            raise AgentFileError(f"The conversation {one.id[:50]!r} is in the file twice.")
        seen.add(one.id)
        if not is_our_id(one.id) or store.conversations.taken(one.id):
            names[one.id] = new_id("conv")
    return names


# ---------------------------------------------------------------- memory


def _memory(file: AgentFile, folder: Path, names: Mapping[str, str], notices: Notices) -> dict[str, str]:
    """Make the memory repository; old → new ids of the commits."""
    commits = checked_history(file.memory or _from_blocks(file, notices), notices)
    commits += _own_copies(commits, checked_history(file.shared, notices), notices)
    if not commits:
        return {}
    commits = [_renamed(commit, names) for commit in commits]
    root = folder / "memory"
    versions = [version_of(commit) for commit in commits]
    ids = replay(root, versions, lambda text, known: replaced(text, {**names, **known}))
    taken = Folder(root).refresh(("",))
    for notice in taken.notices if taken else ():
        notices.add("memory", notice)
    return ids


def _renamed(commit: FileCommit, names: Mapping[str, str]) -> FileCommit:
    """A commit whose paths and texts call conversations by their ids of here."""
    if not names:
        return commit
    files = {
        "/".join(names.get(part, part) for part in path.split("/")): replaced(content, names)
        if isinstance(content, str)
        else content
        for path, content in commit.files.items()
    }
    return msgspec.structs.replace(commit, files=files)


def _own_copies(own: list[FileCommit], shared: list[FileCommit], notices: Notices) -> list[FileCommit]:
    """The history of the shared blocks that the agent saw, as one of its own blocks; shared memory is not touched."""
    if not shared and not any(ATTACHED in commit.files for commit in own):
        return []
    there = {path for commit in own for path in commit.files}
    last, found = own[-1].id if own else "", list[FileCommit]()
    for commit in shared:
        files = {_own_path(path, there): content for path, content in commit.files.items()}
        found.append(msgspec.structs.replace(commit, parents=(last,) if last else (), files=files))
        last = commit.id
    labels = sorted({path.removesuffix(SUFFIX) for commit in shared for path in commit.files})
    if labels:
        notices.add("shared", f"Shared blocks became the agent's own: {', '.join(labels)[:200]}.")
    text = message("shared blocks became own", Provenance(source=PROGRAM))
    signature = f"letta-code <letta-code@letta-code.invalid> {_last_second([*own, *found])} +0000"
    end = FileCommit(
        id="own copies of shared blocks",
        parents=(last,) if last else (),
        author=signature,
        committer=signature,
        message=text + "\n",
        files={ATTACHED: None},
    )
    return [*found, end]


def _own_path(path: str, there: set[str]) -> str:
    own = f"{AGENT_FOLDER}/{path}"
    return own if own not in there else f"{own.removesuffix(SUFFIX)}_shared{SUFFIX}"


def _last_second(commits: list[FileCommit]) -> int:
    words = commits[-1].committer.rpartition("> ")[2].split(" ") if commits else ["0"]
    return int(words[0]) if words[0].isdecimal() and len(words[0]) < 12 else 0


def _from_blocks(file: AgentFile, notices: Notices) -> tuple[FileCommit, ...]:
    """One commit of the blocks, for a file that has them and no history."""
    files: dict[str, str] = {}
    for one in file.blocks:
        try:
            check_label(one.label)
        except BlockError as error:
            notices.add("blocks were left out", f"The block {one.label[:50]!r} was left out: {error}")
            continue
        path = f"{one.label}{SUFFIX}" if one.scope == "file" else f"{AGENT_FOLDER}/{one.label}{SUFFIX}"
        limit = good_number(one.limit)
        block = Block(
            label=one.label,
            value=clean_value(one.value),
            description=one.description,
            limit=min(limit, LARGEST_LIMIT) or Block(label="x").limit,
            read_only=one.read_only,
        )
        files[path] = formatted(block).decode()
    if not files:
        return ()
    signature = f"letta-code <letta-code@letta-code.invalid> {_seconds(file.exported_at)} +0000"
    text = message("blocks of an agent file", Provenance(source=f"import:{file.agent.name[:60] or 'agent file'}"))
    return (FileCommit(id="blocks", author=signature, committer=signature, message=text + "\n", files={**files}),)


def _seconds(at: str) -> int:
    import calendar
    import time

    at = good_time(at) or utc_now()
    return calendar.timegm(time.strptime(at[:19], "%Y-%m-%dT%H:%M:%S"))


# ---------------------------------------------------------------- the store


def _conversations(
    file: AgentFile, agent: Agent, names: Mapping[str, str], notices: Notices
) -> list[BroughtConversation]:
    brought = BroughtEvents(agent.id, names, notices)
    found: list[BroughtConversation] = []
    for one in file.conversations:
        name = names.get(one.id, one.id)
        bodies = brought.bodies(name, one.events, lambda one=one, name=name: _start(one, agent, name))
        found.append(BroughtConversation(id=name, bodies=tuple(bodies)))
    return found


def _start(one: FileConversation, agent: Agent, name: str) -> dict[str, Any]:
    return {
        "type": "conversation_started",
        "at": good_time(one.created_at) or utc_now(),
        "conversation_id": name,
        "agent_id": agent.id,
        "cwd": one.cwd or "/",
        "version": __version__,
    }


def _passages(file: AgentFile, agent: Agent, names: Mapping[str, str], notices: Notices) -> list[Passage]:
    found: list[Passage] = []
    for one in file.passages:
        try:
            text, tags = clean_value(one.content), good_tags(one.tags)
        except LettaError as error:
            notices.add("passages were left out", f"A passage was left out: {error}")
            continue
        if not text or len(text) > LONGEST:
            notices.add("passages were left out", "A passage was left out: it is empty or too long.")
            continue
        found.append(
            Passage(
                id=new_id("passage"),
                agent_id=agent.id,
                content=replaced(text, names),
                tags=tags,
                created_at=good_time(one.created_at) or utc_now(),
                conversation_id=names.get(one.conversation_id, one.conversation_id),
                seq=good_number(one.seq),
                source=one.source,
                trust=one.trust if one.trust in ("", TRUSTED) else UNTRUSTED,
            )
        )
    return found
