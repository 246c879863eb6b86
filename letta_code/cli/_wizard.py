"""The set-up as questions and answers, for any prompt that can ask for a line."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from letta_code.cli._connecting import Connecting, checked_url, endpoint_name, explain, full_name, said_of
from letta_code.core.errors import LettaError
from letta_code.llm.providers import PROVIDERS
from letta_code.tui.ports import ConnectChoice, ModelRow

Say = Callable[[str], None]

_SHOWN = 15


class Ask(Protocol):
    """Asks for a line; `secret` is not echoed where that is possible.  Raises `EOFError`, `KeyboardInterrupt`."""

    def __call__(self, prompt: str, *, secret: bool = False) -> Awaitable[str]: ...


async def play(connecting: Connecting, ask: Ask, say: Say, *, test: bool = True) -> str:
    """From what is there to a saved model; its name, "" when the person gave up."""
    while True:
        choice = await _source(connecting, ask, say)
        if choice is None:
            return ""
        try:
            model = await _model(connecting, choice, ask, say)
            if not model:
                continue
            choice = msgspec.structs.replace(choice, model=model)
            if test:
                say(f"Trying {full_name(choice)} with one small call …")
                say(f"It works: {await connecting.test(choice)}")
        except LettaError as error:
            for line in explain(error):
                say(line)
            answer = await ask("Save it all the same? (y: save, Enter: choose again) ") if choice.model else ""
            if answer.strip().lower() not in ("y", "yes"):
                continue
        name = await connecting.save(choice)
        for line in said_of(connecting.notices):
            say(line)
        say(f"Saved: {name}")
        return name


async def _source(connecting: Connecting, ask: Ask, say: Say) -> ConnectChoice | None:
    say("Looking for keys and model servers …")
    found = await connecting.found()
    say("")
    say("Which models do you want to use?" if found else "No key and no model server was found.")
    for number, choice in enumerate(found, 1):
        say(f"  {number}. {choice.label} ({choice.note})")
    provider, server, leave = len(found) + 1, len(found) + 2, len(found) + 3
    say(f"  {provider}. A provider whose key I have")
    say(f"  {server}. A server by its address (vLLM, llama.cpp, a gateway …)")
    say(f"  {leave}. Nothing now")
    while True:
        text = (await ask(f"1 to {leave}: ")).strip()
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
        if 0 < number <= len(found):
            return found[number - 1]
        if number == leave:
            return None
        if number == provider:
            return await _provider(ask, say)
        if number == server:
            return await _server(ask, say, [choice.endpoint for choice in found])


async def _provider(ask: Ask, say: Say) -> ConnectChoice:
    names = [name for name, provider in PROVIDERS.items() if not provider.server]
    say("Providers: " + ", ".join(names) + ", or any other by litellm's name.")
    name = ""
    while not name:
        name = (await ask("Provider: ")).strip().lower()
    key = (await ask("Key (not shown): ", secret=True)).strip()
    return ConnectChoice(model="", endpoint=name, key=key, label=name)


async def _server(ask: Ask, say: Say, taken: Sequence[str]) -> ConnectChoice:
    while True:
        try:
            url = checked_url(await ask("Address, such as http://127.0.0.1:8000/v1: "))
            break
        except LettaError as error:
            for line in explain(error):
                say(line)
    usual = endpoint_name(url.split("//", 1)[1].split("/", 1)[0].split(":", 1)[0], [*taken, *PROVIDERS])
    name = (await ask(f"A short name for it [{usual}]: ")).strip() or usual
    dialect = (await ask("Does it speak openai (chat completions) or anthropic (messages)? [openai] ")).strip()
    key = (await ask("Key, if it wants one (not shown): ", secret=True)).strip()
    anthropic = dialect.lower().startswith("a")
    return ConnectChoice(
        model="", endpoint=name, base_url=url, dialect="anthropic" if anthropic else "openai", key=key, label=name
    )


async def _model(connecting: Connecting, choice: ConnectChoice, ask: Ask, say: Say) -> str:
    """The model's name as typed or listed, "" to go back."""
    rows: Sequence[ModelRow] = ()
    try:
        rows = await connecting.models(choice)
    except LettaError as error:
        for line in explain(error):
            say(line)
    for number, row in enumerate(rows[:_SHOWN], 1):
        say(f"  {number}. {row.name}" + (f"  ({row.note})" if row.note else ""))
    if len(rows) > _SHOWN:
        say(f"  … and {len(rows) - _SHOWN} more: letta-code models")
    text = (await ask("Model (a number or a name; Enter goes back): ")).strip()
    if text.isascii() and text.isdigit() and 0 < int(text[:4]) <= len(rows[:_SHOWN]):
        return rows[int(text[:4]) - 1].name
    return text
