"""A home in which an agent lived for long: many conversations in the store, many blocks with a history."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path

from letta_code.config.paths import Paths
from letta_code.core.events import AssistantMessage, ConversationStarted, KnownEvent, UserMessage
from letta_code.core.messages import TextPart
from letta_code.memory.block import project_key
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, Create
from letta_code.memory.provenance import Provenance
from letta_code.safety.vault import Secrets
from letta_code.store.database import Store

BLOCKS = 50
EDITS = 200  # more of them, so that there is a history
BLOCK_CHARS = 600  # 50 of them come to the 8,000 tokens from which a person is warned
A_CONVERSATION = 200  # messages
_SYLLABLES = ("ka", "ro", "mi", "ten", "lu", "sa", "vor", "ex", "ni", "dol", "pra", "ze", "hu", "bin", "to", "qua")


def words(rng: random.Random, count: int) -> str:
    """Words of which few are common and many are rare, as in a language."""
    found = (int(rng.paretovariate(0.8)) for _ in range(count))
    return " ".join(_word(number % 50_000) for number in found)


def _word(number: int) -> str:
    parts = [_SYLLABLES[number % 16], _SYLLABLES[number // 16 % 16]]
    while number := number // 256:
        parts.append(_SYLLABLES[number % 16])
    return "".join(parts)


def lived(home: Path, project: Path, messages: int) -> str:
    """Make it; the agent's id.  `home` is letta-code's own folder (LETTA_HOME)."""
    agent = asyncio.run(_say(home, project, messages))
    _remember(home, project, agent)
    return agent


async def _say(home: Path, project: Path, messages: int) -> str:
    paths = Paths(home=home).ensure()
    rng = random.Random(messages)
    with Store.open(
        paths.database,
        conversations_dir=paths.conversations,
        agents_dir=paths.agents,
        run_dir=paths.run,
        redactor=Secrets(),
    ) as store:
        agent = await store.agents.ensure_default()
        for first in range(0, messages, A_CONVERSATION):
            conversation = f"conv-lived-{first:06}"
            started = ConversationStarted(
                conversation_id=conversation, agent_id=agent.id, cwd=str(project), version="bench"
            )
            said = _messages(rng, first, min(first + A_CONVERSATION, messages))
            await store.append(conversation, [started, *said])
    return agent.id


def _messages(rng: random.Random, first: int, end: int) -> Iterator[KnownEvent]:
    for number in range(first, end):
        text = f"{words(rng, 30)} fact{number}"
        if number % 2:
            yield AssistantMessage(message_id=f"msg-{number}", model="bench/fake", text=text)
        else:
            yield UserMessage(message_id=f"msg-{number}", content=(TextPart(text=text),), client_id=f"say-{number}")


def _remember(home: Path, project: Path, agent: str) -> None:
    rng = random.Random(BLOCKS)
    blocks = Blocks(home, agent, project_key(str(project)), "conv-lived")
    blocks.ensure()
    for number in range(BLOCKS - len(blocks.view().blocks)):
        scope = "project" if number % 5 == 0 else "agent"
        value = "\n".join(words(rng, 8) for _ in range(40))[:BLOCK_CHARS]
        description = f"What is known of matter {number}."
        blocks.apply(Create(label=f"matter-{number}", value=value, description=description, scope=scope), Provenance())
    for number in range(EDITS):
        blocks.apply(Append(label="human", text=f"learned {number}"), Provenance(conversation="conv-lived", seq=number))
