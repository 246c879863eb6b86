"""The blocks that every agent has, before anything was written to them."""

from __future__ import annotations

import msgspec

from letta_code.memory.block import TASK, TODO, Block, Place, clean_value, path_for

PERSONA = """\
I am letta-code, an agent that works in the terminal and stays: I remember across conversations.
I keep what I learn about the person, each project and my own mistakes in memory, short and dated, and correct it when
it is wrong."""

_STANDARD = (
    Block(
        label="persona",
        scope="agent",
        value=PERSONA,
        description="Who I am and how I work: principles, habits, what I learned about doing things well.",
    ),
    Block(
        label="human",
        scope="agent",
        description="The person I work with: name, role, preferences, how they like answers, what they want kept.",
    ),
    Block(
        label="project",
        scope="project",
        description="This project: purpose, layout, commands that build and test it, conventions, decisions, traps.",
    ),
    Block(
        label=TODO,
        scope="conversation",
        description="The tasks of this conversation, kept by the Todo tool.",
    ),
)
TASK_LIMIT = 20_000  # characters of the task that its block shows
# Within a scope these come first, in this order; all others follow by label.
ORDER = ("persona", "human", "project", TASK, TODO)


def standard_blocks(place: Place) -> list[Block]:
    """The standard blocks of a place, as they are before they have a file."""
    found: list[Block] = []
    for block in _STANDARD:
        if (block.scope == "project" and not place.project_key) or (
            block.scope == "conversation" and not place.conversation_id
        ):
            continue
        path, _, _ = path_for(block.label, block.scope, place)
        found.append(msgspec.structs.replace(block, path=path, is_new=True))
    return found


def task_block(text: str, place: Place, *, seq: int = 0, most: int = TASK_LIMIT) -> Block:
    """The read-only block of a headless run: what it was asked to do, but for secrets and the middle of a long text.

    It has at most about `most` characters; `seq` is the event with the whole text, where that is known.
    """
    path, scope, _ = path_for(TASK, "conversation", place)
    text = task_value(text, place, seq=seq, most=most)
    return Block(
        label=TASK,
        value=text,
        description="What this run was asked to do. It stays here whatever is compacted.",
        limit=max(len(text), 1),
        read_only=True,
        scope=scope,
        path=path,
    )


def task_value(text: str, place: Place, *, seq: int = 0, most: int = TASK_LIMIT) -> str:
    """What the block `task` says for a text: all of it where it fits, else its beginning and end."""
    from letta_code.safety.secrets import without_secrets

    text, _ = without_secrets(clean_value(text))
    if len(text) <= most:
        return text
    conversation = f"conversation {place.conversation_id}"
    note = (
        f"[The middle of these {len(text):,} characters is left out here. All of it is in "
        f"{f'event {seq} of {conversation}' if seq else conversation}: conversation_search finds it by its words.]"
    )
    room = max(most - len(note) - 4, 60)  # so that what was cut once is not cut again
    return clean_value(f"{text[: room * 2 // 3].rstrip()}\n\n{note}\n\n{text[-(room // 3) :].lstrip()}")
