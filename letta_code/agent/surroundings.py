"""Surroundings: what a session lives in: the workspace, the tools, the policy, the facts of now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from letta_code.agent.calls import Judge
    from letta_code.agent.facts import Fact
    from letta_code.agent.permissions import Permissions
    from letta_code.core.requests import Approve
    from letta_code.llm.model import ModelInfo
    from letta_code.memory.desk import Desk
    from letta_code.safety.containment import Containment
    from letta_code.tools.base import Situation, Tool
    from letta_code.workspace.workspace import Workspace


class Surroundings(Protocol):
    """A folder as a session sees it; `Place` (agent/place.py) is the one of this machine."""

    @property
    def workspace(self) -> Workspace:
        """Files and processes."""
        ...

    @property
    def tools(self) -> Mapping[str, Tool[Any]]:
        """Every tool there is."""
        ...

    @property
    def policy(self) -> Judge:
        """The policy as it is now."""
        ...

    @property
    def permissions(self) -> Permissions:
        """The rules in force, for a person."""
        ...

    @property
    def containment(self) -> Containment:
        """What holds commands here."""
        ...

    @property
    def desk(self) -> Desk | None:
        """The agent's memory; None where there is none."""
        ...

    def situation(self, info: ModelInfo) -> Situation:
        """What decides which tools apply."""
        ...

    def facts(self) -> Sequence[Fact]:
        """The facts of now."""
        ...

    def set_mode(self, mode: str) -> None:
        """Raises `UsageError` for a mode that does not exist."""
        ...

    def remember(self, answer: Approve) -> None:
        """Keep the rule that a yes came with."""
        ...

    def agreed(self) -> None:
        """A person said yes to the repository's own hooks that wait: they are known from now on."""
        ...

    def created(self, paths: Sequence[str]) -> None:
        """A call of the agent made these files, and no text of others had a part in it."""
        ...

    def warm(self) -> None:
        """Load what the first calls will need; called while the model thinks."""
        ...

    def answer_begins(self) -> None:
        """Called when the first part of an answer comes (LETTA_DEBUG_MODULES)."""
        ...

    async def close(self) -> Sequence[str]:
        """Stop processes and give back files; the background commands that were stopped."""
        ...
