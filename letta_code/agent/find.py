"""Find: conversations by words, in titles and in everything that was said, for people."""

from __future__ import annotations

from collections.abc import Sequence

from letta_code.config.paths import Paths
from letta_code.core.messages import Value
from letta_code.memory.recall import Recall, spoken
from letta_code.store.agents import Agent
from letta_code.store.conversations import Conversation
from letta_code.store.database import Store

_SHOWN = 240  # characters of a snippet
TITLE = "title"


class Match(Value, omit_defaults=False):
    """A place that was found: `seq` is 0 and `found_by` "title" where the conversation's name holds the words."""

    conversation_id: str
    title: str
    agent_id: str
    cwd: str
    at: str
    seq: int
    role: str
    text: str
    found_by: str


class Matches(Value):
    """What a search gave, titles first; `left` is how many events were not searched yet."""

    found: tuple[Match, ...]
    left: int = 0


def find(
    store: Store,
    paths: Paths,
    agents: Sequence[Agent],
    words: str,
    *,
    limit: int = 20,
    since: str = "",
    until: str = "",
) -> Matches:
    """The best places for some words in the conversations of agents.

    Dates mean that whole day where the person is.  Blocking, for seconds when much is new; raises `BlockError` for
    dates that are none, `StoreError`.
    """
    index = store.text_index(paths.index, spoken)
    named: list[Match] = []
    said: list[tuple[int, Match]] = []
    left = 0
    for agent in agents:
        recalled = Recall(index, agent.id).search(words, start_date=since, end_date=until, limit=limit)
        left += recalled.left
        if not (since or until):
            found = store.conversations.titled(words, agent_id=agent.id, limit=limit)
            named += [_match(one, at=one.updated_at, found_by=TITLE) for one in found]
        for rank, hit in enumerate(recalled.found):
            row = store.conversations.get(hit.conversation_id)
            if row is not None:
                match = _match(row, at=hit.at, seq=hit.seq, role=hit.role, text=hit.text, found_by=hit.found_by)
                said.append((rank, match))
    said.sort(key=lambda pair: pair[0])  # the best of each agent first: scores of two agents tell nothing together
    named.sort(key=lambda match: match.at, reverse=True)
    return Matches(found=(*named, *(match for _, match in said))[:limit], left=left)


def _match(one: Conversation, *, at: str, found_by: str, seq: int = 0, role: str = "", text: str = "") -> Match:
    line = " ".join(text.split())
    return Match(
        conversation_id=one.id,
        title=one.name,
        agent_id=one.agent_id,
        cwd=one.cwd,
        at=at,
        seq=seq,
        role=role,
        text=line if len(line) <= _SHOWN else line[:_SHOWN] + " …",
        found_by=found_by,
    )
