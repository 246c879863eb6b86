"""Letta's own agent files (.af), of today and of the first form, read into ours; what has no place here is named."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import msgspec

from letta_code.agent.agentfile.form import (
    AgentFile,
    AgentFileError,
    FileAgent,
    FileBlock,
    FileConversation,
    FilePassage,
)
from letta_code.agent.agentfile.letta_messages import events_of, letta_time
from letta_code.core.counts import many
from letta_code.core.ids import new_id, utc_now
from letta_code.memory.block import LARGEST_LIMIT, RESERVED, one_line

_OURS = (*RESERVED, "project", "todo", "task")  # labels that mean something else here
_MOST_BLOCKS = 200


def is_letta_file(head: Mapping[str, Any]) -> bool:
    """Whether the fields at the top are those of Letta's agent file, of today or of its first form."""
    return ("agents" in head and "blocks" in head) or ("core_memory" in head and "messages" in head)


def letta_file(path: Path, data: bytes) -> tuple[AgentFile, tuple[str, ...]]:
    """Letta's file as ours, and sentences about what it holds that was not taken along.

    Raises `AgentFileError`; of several agents in a file the first is taken.
    """
    try:
        top = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise AgentFileError(f"{path} cannot be read: {str(error) or 'nested too deeply'}.") from error
    notices: list[str] = []
    agents = _listed(top, "agents", notices)
    if "agents" in top and not agents:
        raise AgentFileError(f"{path} holds no agent.")
    agent = agents[0] if agents else top
    if len(agents) > 1:
        others = ", ".join(one_line(text(one, "name"), 40) for one in agents[1:6])
        notices.append(f"The file holds {len(agents)} agents; the first was taken, not: {others}.")
    name = one_line(text(agent, "name"), 60) or path.stem
    events, told = events_of(_listed(agent, "messages", notices), _when(top, agent))
    notices += told
    found = AgentFile(
        written_by="Letta",
        exported_at=letta_time(top.get("created_at")) or utc_now(),
        agent=FileAgent(name=name, description=one_line(text(agent, "description"), 900)),
        blocks=tuple(_blocks(agent, top, notices)),
        passages=tuple(_passages(agent, top)),
        conversations=(_conversation(name, events),) if events else (),
    )
    return found, (*notices, *_left_out(agent, top))


def dicts(value: object) -> list[dict[str, Any]]:
    """The objects of a list, nothing for anything else."""
    if not isinstance(value, list):
        return []
    return [cast("dict[str, Any]", one) for one in cast("list[Any]", value) if isinstance(one, dict)]


def _listed(one: Mapping[str, Any], field: str, notices: list[str]) -> list[dict[str, Any]]:
    """The objects of a field that is to be a list; what else stands there is told."""
    value = one.get(field)
    found = dicts(value)
    if value is not None and not isinstance(value, list):
        notices.append(f"Not brought: `{field}` of the file, which is no list.")
    elif isinstance(value, list) and (wrong := len(cast("list[Any]", value)) - len(found)):
        notices.append(f"Not brought: {many(wrong, 'thing')} in `{field}` that should not stand there.")
    return found


def text(one: Mapping[str, Any], field: str) -> str:
    """A text field, "" for anything else."""
    value = one.get(field)
    return value if isinstance(value, str) else ""


def _when(top: Mapping[str, Any], agent: Mapping[str, Any]) -> str:
    return letta_time(agent.get("created_at")) or letta_time(top.get("created_at")) or utc_now()


def _conversation(name: str, events: list[dict[str, Any]]) -> FileConversation:
    title = {"type": "conversation_renamed", "at": events[0]["at"], "title": f"Imported: {name}", "by": "import"}
    raws = tuple(msgspec.Raw(msgspec.json.encode(event)) for event in (title, *events))
    return FileConversation(id=new_id("conv"), created_at=events[0]["at"], cwd="/", events=raws)


# ---------------------------------------------------------------- memory


def _blocks(agent: Mapping[str, Any], top: Mapping[str, Any], notices: list[str]) -> Iterator[FileBlock]:
    """The agent's blocks: named by its ids, written into it, or, in the first form, its core memory."""
    known = {text(one, "id"): one for one in _listed(top, "blocks", notices)}
    wanted = _block_ids(agent, notices)
    found = [known[one] for one in wanted if one in known]
    if missing := [one_line(one, 40) for one in wanted if one not in known]:
        notices.append(f"Not brought: {many(len(missing), 'block')} that the file names and does not hold "
                       f"({', '.join(missing[:5])}{' …' if missing[5:] else ''}).")  # fmt: skip
    found += _listed(agent, "memory_blocks", notices) + _listed(agent, "core_memory", notices)
    if not found and len(dicts(top.get("agents"))) == 1:
        found = [*known.values()]
    labels: set[str] = set()
    for one in found[:_MOST_BLOCKS]:
        given = text(one, "label")
        label = _label(given, labels)
        labels.add(label)
        if label != given:
            notices.append(f"The block {one_line(given, 60)!r} is called `{label}` here.")
        if not isinstance(one.get("value"), str):
            notices.append(f"The block `{label}` has no text in the file; it is empty here.")
        limit = one.get("limit")
        limit = limit if isinstance(limit, int) and limit > 0 else 0
        if limit > LARGEST_LIMIT:
            notices.append(f"The limit of `{label}` was {limit} characters and is {LARGEST_LIMIT} here.")
        yield FileBlock(
            label=label,
            value=text(one, "value"),
            description=one_line(text(one, "description"), 900),
            limit=min(limit, LARGEST_LIMIT),
            read_only=one.get("read_only") is True,
        )
    if len(found) > _MOST_BLOCKS:
        notices.append(f"{len(found) - _MOST_BLOCKS} blocks more than {_MOST_BLOCKS} were left out.")


def _block_ids(agent: Mapping[str, Any], notices: list[str]) -> list[str]:
    value = agent.get("block_ids")
    ids = [one for one in cast("list[Any]", value) if isinstance(one, str)] if isinstance(value, list) else []
    if value is not None and (not isinstance(value, list) or len(ids) != len(cast("list[Any]", value))):
        notices.append("Not brought: what stands in `block_ids` and is no id.")
    return ids


def _label(given: str, taken: set[str]) -> str:
    """A label that is one here, and of its own."""
    plain = re.sub(r"[^a-z0-9_.-]+", "_", given.lower().removeprefix("system/")).strip("_.-")[:50]
    if not plain or plain in _OURS:
        plain = f"{plain or 'block'}_letta"
    label, number = plain, 1
    while label in taken:
        number += 1
        label = f"{plain}_{number}"
    return label


def _passages(agent: Mapping[str, Any], top: Mapping[str, Any]) -> Iterator[FilePassage]:
    """Archival passages: Letta's own export has none, other programs add them under one of these names."""
    for holder in (agent, top):
        for field in ("archival_passages", "passages", "archival_memory"):
            for one in dicts(holder.get(field)):
                content = text(one, "text") or text(one, "content")
                tags = one.get("tags")
                if content:
                    yield FilePassage(
                        content=content,
                        tags=tuple(t for t in cast("list[Any]", tags) if isinstance(t, str))[:20]
                        if isinstance(tags, list)
                        else (),
                        created_at=letta_time(one.get("created_at")),
                        source="import:letta",
                        trust="trusted",
                    )


# ---------------------------------------------------------------- what stays behind


def _left_out(agent: Mapping[str, Any], top: Mapping[str, Any]) -> Iterator[str]:
    tools = [*dicts(top.get("tools")), *dicts(agent.get("tools"))]
    named = (
        ("tools", [text(one, "name") for one in tools]),
        ("tool rules", [text(one, "tool_name") for one in dicts(agent.get("tool_rules"))]),
        ("MCP servers", [text(one, "server_name") for one in dicts(top.get("mcp_servers"))]),
        ("environment variables", _variables(agent)),
        ("groups", [text(one, "id") for one in dicts(top.get("groups"))]),
        ("files", [text(one, "file_name") for one in dicts(top.get("files"))]),
        ("data sources", [text(one, "name") for one in dicts(top.get("sources"))]),
        ("skills", [text(one, "name") for one in dicts(top.get("skills"))]),
        ("identities", [text(one, "id") for one in dicts(agent.get("identities"))]),
    )
    for what, names in named:
        if names:
            listed = ", ".join(dict.fromkeys(one_line(name, 40) or "?" for name in names[:8]))
            more = f" and {len(names) - 8} more" if len(names) > 8 else ""
            yield f"Not brought: {len(names)} {what} ({listed}{more})."
    if text(agent, "system"):
        yield "Not brought: its system prompt; letta-code has its own."
    model = agent.get("llm_config")
    if isinstance(model, dict):
        yield f"Not brought: its model ({one_line(text(cast('dict[str, Any]', model), 'model'), 60) or 'unknown'})."


def _variables(agent: Mapping[str, Any]) -> list[str]:
    """The names of a tool's variables; their values are never looked at."""
    found = agent.get("tool_exec_environment_variables")
    if isinstance(found, dict):
        return [str(name) for name in cast("dict[str, Any]", found)]
    return [text(one, "key") for one in dicts(found)]
