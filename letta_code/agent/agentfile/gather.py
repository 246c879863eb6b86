"""Gather: everything that an agent has, as an agent file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from letta_code import __version__
from letta_code.agent.agentfile.form import (
    AgentFile,
    AgentFileError,
    Binary,
    Content,
    FileAgent,
    FileBlock,
    FileCommit,
    FileConversation,
    FilePassage,
)
from letta_code.agent.agentfile.scrub import Scrub
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core.ids import utc_now
from letta_code.host.git_objects import GitDamage
from letta_code.host.memory_git import Commit
from letta_code.host.memory_replay import Version, versions
from letta_code.memory.block import ATTACHED, CONFLICTS, CONVERSATIONS, PENDING, PROJECTS, SUFFIX
from letta_code.memory.folder import Folder
from letta_code.memory.front_matter import parsed
from letta_code.memory.provenance import change_of
from letta_code.store.agents import Agent
from letta_code.store.conversations import Conversation
from letta_code.store.database import Store

_SECRET_HEADER = re.compile(r"(?i)auth|key|token|secret|cookie|password")
_SCOPES = {"system": "agent", PROJECTS: "project", CONVERSATIONS: "conversation"}


def gather(
    store: Store, paths: Paths, agent: Agent, *, settings: Settings | None = None, keys: Iterable[str] = ()
) -> tuple[AgentFile, tuple[str, ...]]:
    """The agent's file, and what could not be taken along; hand edits of memory are taken in first.

    `keys` are the person's own: they and whatever looks like a key are taken out of every text.  Blocking; raises
    `AgentFileError`, `StoreError`.
    """
    scrub = Scrub(keys)
    notices: list[str] = []
    own = Folder(paths.agents / agent.id / "memory")
    if own.root.is_dir():
        own.refresh(("",))
    memory = _history(own, notices)
    attached = _attached(own) if memory else []
    shared = [_only(version, attached) for version in _history(Folder(paths.shared / "memory"), notices)]
    shared = [version for version in shared if version.files] if attached else []
    commits = tuple(_commit(version, scrub) for version in memory)
    shared_commits = tuple(_commit(version, scrub) for version in _linear(shared))
    now = _files_now(own)
    file = AgentFile(
        written_by=f"letta-code {__version__}",
        exported_at=utc_now(),
        agent=FileAgent(
            id=agent.id,
            name=scrub.text(agent.name),
            description=scrub.text(agent.description),
            created_at=agent.created_at,
        ),
        settings=msgspec.json.decode(scrub.json(msgspec.json.encode(_settings(settings)))),
        skills=tuple(sorted(scrub.path(path).split("/")[1] for path in now if _is_skill(path))),
        blocks=(*_blocks(now, scrub), *_blocks(_newest(shared), scrub, shared=True)),
        memory=commits,
        shared=shared_commits,
        passages=tuple(_passages(store, agent, scrub)),
        conversations=tuple(_conversation(store, one, scrub) for one in _all_of(store, agent)),
    )
    return msgspec.structs.replace(file, removed_secrets=scrub.removed), tuple(notices)


# ---------------------------------------------------------------- memory


def _history(folder: Folder, notices: list[str]) -> list[Version]:
    if not folder.repository.exists:
        return []
    try:
        head = folder.repository.head()
        found = versions(folder.repository, head) if head else []
    except GitDamage as error:
        raise AgentFileError(f"The memory in {folder.root} cannot be read: {error}.", hint=error.hint) from error
    if found and folder.repository.commit(found[0].id).parents:
        notices.append(f"The oldest part of the history in {folder.root} cannot be read; it is not in the file.")
    return found


def _attached(own: Folder) -> list[str]:
    data = own.content(own.head(), ATTACHED) or b""
    return [line.strip() + SUFFIX for line in data.decode("utf-8", "replace").splitlines() if line.strip()]


def _only(version: Version, wanted: Iterable[str]) -> Version:
    return msgspec.structs.replace(version, files={p: d for p, d in version.files.items() if p in wanted})


def _linear(found: list[Version]) -> list[Version]:
    """One after the other: commits between them are left out, so each follows the one before it."""
    return [
        msgspec.structs.replace(version, parents=(found[at - 1].id,) if at else ()) for at, version in enumerate(found)
    ]


def _commit(version: Version, scrub: Scrub) -> FileCommit:
    said = change_of(
        Commit(
            sha=version.id,
            tree="",
            parents=version.parents,
            author="",
            time=_seconds(version.committer),
            message=version.message,
        )
    )
    # What is told twice was counted where the message was scrubbed.
    by, quiet = said.provenance, Scrub(scrub.known)
    return FileCommit(
        id=version.id,
        parents=version.parents,
        author=scrub.text(version.author),
        committer=scrub.text(version.committer),
        message=scrub.text(version.message),
        at=said.at,
        source=quiet.text(by.source),
        trust=quiet.text(by.trust),
        conversation=quiet.text(by.conversation),
        seq=by.seq,
        files={scrub.path(path): _content(data, scrub) for path, data in version.files.items()},
    )


def _seconds(signature: str) -> int:
    words = signature.rpartition("> ")[2].split(" ")
    return int(words[0]) if words[0].isdecimal() else 0


def _content(data: bytes | None, scrub: Scrub) -> Content:
    if data is None:
        return None
    try:
        return scrub.text(data.decode("utf-8"))
    except UnicodeDecodeError:
        before, text = scrub.removed, scrub.text(data.decode("utf-8", "replace"))
        return Binary(base64=data) if scrub.removed == before else text


def _files_now(own: Folder) -> dict[str, bytes]:
    head = own.head()
    files = own.repository.files(head) if head else {}
    return {path: own.blob(path, sha) for path, sha in sorted(files.items())}


def _newest(found: list[Version]) -> dict[str, bytes]:
    files: dict[str, bytes | None] = {}
    for version in found:
        files.update(version.files)
    return {path: data for path, data in sorted(files.items()) if data is not None}


def _is_skill(path: str) -> bool:
    parts = path.split("/")
    return len(parts) == 3 and parts[0] == "skills" and parts[2] == "SKILL.md"


def _blocks(files: Mapping[str, bytes], scrub: Scrub, *, shared: bool = False) -> Iterable[FileBlock]:
    # What is told here was counted where the history was scrubbed.
    quiet = Scrub(scrub.known)
    for full, data in files.items():
        path = scrub.path(full)
        first, _, rest = path.partition("/")
        if not path.endswith(SUFFIX) or first in (CONFLICTS, PENDING, "skills"):
            continue
        said = parsed(data)
        scope = "shared" if shared else _SCOPES.get(first, "file")
        label = rest if scope == "agent" else path.rpartition("/")[2] if scope in ("project", "conversation") else path
        yield FileBlock(
            label=label.removesuffix(SUFFIX),
            value=quiet.text(said.value),
            description=quiet.text(said.description),
            limit=said.limit,
            read_only=said.read_only,
            scope=scope,
            path=path,
        )


# ---------------------------------------------------------------- the store


def _passages(store: Store, agent: Agent, scrub: Scrub) -> Iterable[FilePassage]:
    for one in reversed(store.passages.list(agent.id, limit=None)):
        yield FilePassage(
            content=scrub.text(one.content),
            tags=tuple(map(scrub.text, one.tags)),
            created_at=one.created_at,
            conversation_id=one.conversation_id,
            seq=one.seq,
            source=scrub.text(one.source),
            trust=one.trust,
        )


def _all_of(store: Store, agent: Agent) -> list[Conversation]:
    found = store.conversations.list(agent_id=agent.id, limit=None, empty=True)
    return sorted(found, key=lambda one: (one.created_at, one.id))


def _conversation(store: Store, one: Conversation, scrub: Scrub) -> FileConversation:
    lines = store.conversations.export_lines(one.id, as_kept=True)  # what is secret becomes a mark
    return FileConversation(
        id=one.id,
        title=scrub.text(one.title),
        cwd=scrub.text(one.cwd),
        created_at=one.created_at,
        updated_at=one.updated_at,
        events=tuple(msgspec.Raw(scrub.json(line.rstrip(b"\n"))) for line in lines),
    )


def _settings(settings: Settings | None) -> dict[str, Any]:
    """What says how the agent was run; endpoints, keys and rules are the person's and stay."""
    if settings is None:
        return {}
    return {"model": settings.model, "mode": settings.mode, "context": msgspec.to_builtins(settings.context)}


def default_name(name: str) -> str:
    """A file name for an agent of this name."""
    plain = "".join(sign if sign.isalnum() or sign in "-_" else "-" for sign in name).strip("-")
    return plain[:60] or "agent"


def known_keys(paths: Paths, env: Mapping[str, str]) -> list[str]:
    """The keys of this home and environment, whose very text must not leave."""
    from letta_code.config.credentials import Credentials
    from letta_code.config.settings import person_settings

    credentials = Credentials(paths)
    found = [value.strip() for name, value in env.items() if _is_key(name.upper(), value)]
    found += [credentials.get(name) for name in credentials.names()] if Path(paths.credentials).exists() else []
    for endpoint in person_settings(paths).endpoints.values():
        found.append(env.get(endpoint.key_env, ""))
        found += [value for name, value in endpoint.headers.items() if _SECRET_HEADER.search(name)]
    return [key for key in found if key]


def _is_key(name: str, value: str) -> bool:
    """Whether a variable holds a key: by its name, or by a less certain name and a value that is no plain word."""
    if name.endswith(("_API_KEY", "_API_TOKEN", "_AUTH_TOKEN", "PASSWORD")):
        return True
    mixed = any(sign.isdigit() for sign in value) and any(sign.isalpha() for sign in value)
    return mixed and "/" not in value[:2] and name.endswith(("_KEY", "TOKEN", "SECRET", "PASSWD", "_PASS"))
