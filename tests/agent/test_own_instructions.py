"""What the agent makes itself is its person's own, unless text of others had a part in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from letta_code.safety.operations import WriteOperation
from letta_code.tools.base import Tool, Wanted
from tests.agent.fakes import Act, EchoArgs, FakeSurroundings, PlayedModel, call, say, session


class Make(Act):
    """Makes the file that it is given; one that begins with `old` was there before."""

    async def operations(self, args: EchoArgs, workspace: Any, state: Mapping[str, str]) -> Sequence[Wanted]:
        action = "modify" if args.text.startswith("old") else "create"
        return [Wanted(WriteOperation(path=f"/w/{args.text}", inside=True, action=action))]


Tool.registry.pop("Act", None)  # it is no tool of the program


class Told(FakeSurroundings):
    """Remembers what was created."""

    def __init__(self) -> None:
        super().__init__()
        self.tools["Act"] = Make()
        self.made: list[str] = []

    def created(self, paths: Sequence[str]) -> None:
        self.made += paths


@pytest.mark.parametrize(
    ("text", "trusted", "made"),
    [("AGENTS.md", True, ["/w/AGENTS.md"]), ("old.md", True, []), ("fail", True, []), ("AGENTS.md", False, [])],
)
async def test_a_file_that_a_call_made_in_a_trusted_folder_is_told(text: str, trusted: bool, made: list[str]) -> None:
    around = Told()
    one = session(PlayedModel(call(("Act", f'{{"text":"{text}"}}')), say("Done.")), surroundings=around)
    one.options = replace(one.options, trusted=trusted)
    await one.send("go")
    await one.idle()
    assert around.made == made


async def test_a_file_made_after_text_from_outside_is_not_told() -> None:
    around = Told()
    model = PlayedModel(call(("Act", '{"text":"AGENTS.md"}')), say("Done."))
    one = session(model, surroundings=around)
    one.history.taints = one.history.taints.plus("a page of evil.example")
    await one.send("go")
    await one.idle()
    assert around.made == []
