"""The connect card: from nothing to a model that answers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from letta_code.core.errors import BadKey
from letta_code.tui.ports import ConnectChoice, ModelRow, Ports
from letta_code.tui.screens.connect import ConnectCard
from tests.fakes.session import FakeSession
from tests.tui.screen import Stage, ready, text_of, until


class Port:
    """Satisfies `ConnectPort`; the key `good` is right."""

    def __init__(self, *found: ConnectChoice, models: Sequence[str] = ()) -> None:
        self._found = found
        self._models = [ModelRow(name=name) for name in models]
        self.saved: list[ConnectChoice] = []
        self.looked: list[bool] = []  # whether local servers were asked, each time

    async def found(self, *, servers: bool = True) -> Sequence[ConnectChoice]:
        self.looked.append(servers)
        return (*self._found, ConnectChoice(model="m", endpoint="local", label="Ollama")) if servers else self._found

    async def models(self, choice: ConnectChoice) -> Sequence[ModelRow]:
        return self._models

    async def test(self, choice: ConnectChoice) -> str:
        await asyncio.sleep(0)
        if choice.key != "good":
            raise BadKey("The key was refused (401).", hint="Look at it again.")
        return "hello"

    async def save(self, choice: ConnectChoice) -> str:
        self.saved.append(choice)
        return f"{choice.endpoint}/{choice.model}"


def stage_with(port: Port) -> Stage:
    return Stage(FakeSession(model=""), ports=Ports(connect=lambda: port), model="")


def note(stage: Stage) -> str:
    return text_of(stage.chat.query_one(".connect .ask-reason"))


async def opened(pilot, stage: Stage) -> None:
    await ready(pilot, stage)
    await until(pilot, lambda: stage.chat.query(ConnectCard))
    await until(pilot, lambda: stage.chat.query_one(".connect .choices").options)


async def test_an_endpoint_of_ones_own_is_added_tested_and_saved() -> None:
    port = Port(models=["small", "large"])
    stage = stage_with(port)
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, stage)
        await pilot.press("down", "enter")
        await pilot.press(*"mine", "enter")
        await pilot.press(*"http://x/v1", "enter")
        await pilot.press(*"bad", "enter")
        await until(pilot, lambda: "Which model?" in note(stage))
        await pilot.press(*"lar", "enter")
        await until(pilot, lambda: "The key was refused" in note(stage))
        assert port.saved == []
        await pilot.press("down", "enter")
        await pilot.press(*"mine", "enter", *"http://x/v1", "enter", *"good", "enter")
        await until(pilot, lambda: "Which model?" in note(stage))
        await pilot.press("down", "enter")
        await until(pilot, lambda: port.saved)
        await until(pilot, lambda: not stage.chat.query(ConnectCard))
        assert port.saved == [ConnectChoice(model="large", endpoint="mine", base_url="http://x/v1", key="good")]
        await until(pilot, lambda: stage.chat.state.model == "mine/large")
        assert stage.chat.prompt.area.has_focus


async def test_a_key_that_was_found_needs_one_enter_and_a_model() -> None:
    port = Port(ConnectChoice(model="m", endpoint="there", label="There", key="good"))
    stage = stage_with(port)
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, stage)
        await pilot.press("enter")
        await until(pilot, lambda: stage.chat.state.model == "there/m")


async def test_a_card_that_nobody_asked_for_looks_for_servers_when_told_to() -> None:
    port = Port()
    stage = stage_with(port)
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, stage)
        assert port.looked == [False]
        assert "no local server" not in note(stage)
        await pilot.press("enter")
        await until(pilot, lambda: "can be used" in note(stage))
        assert port.looked == [False, True]
        texts = [one.text for one in stage.chat.query_one(".connect .choices").options]
        assert texts == ["Ollama", "Add an endpoint"]


async def test_a_card_that_was_asked_for_looks_at_once() -> None:
    port = Port()
    stage = stage_with(port)
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, stage)
        await pilot.press("escape")
        await until(pilot, lambda: not stage.chat.query(ConnectCard))
        stage.chat.show("connect")
        await until(pilot, lambda: stage.chat.query(ConnectCard) and "can be used" in note(stage))
        assert port.looked == [False, True]


async def test_esc_goes_back_and_at_last_closes() -> None:
    stage = stage_with(Port())
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, stage)
        await pilot.press("down", "enter", *"mine", "enter", "escape")
        assert "A short name" in note(stage)
        await pilot.press("escape")
        assert stage.chat.query(ConnectCard)
        await pilot.press("escape")
        await until(pilot, lambda: not stage.chat.query(ConnectCard))
        assert stage.chat.prompt.display


async def test_a_message_without_a_model_is_kept_and_the_card_comes() -> None:
    stage = stage_with(Port())
    async with stage.app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, stage)
        await pilot.press("escape")
        await until(pilot, lambda: not stage.chat.query(ConnectCard))
        await pilot.press(*"hello", "enter")
        await until(pilot, lambda: stage.chat.query(ConnectCard))
        assert stage.session.sent == ["hello"]
