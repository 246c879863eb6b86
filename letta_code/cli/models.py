"""List the models that can be used now, with window and price.

These are the models of providers whose key is in the environment or was saved, and of servers on this machine and of
your own endpoints that answer. Any other name works too: `--model provider/model`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import msgspec

from letta_code.cli._flags import HELP, Flag, here, parse, verb_help
from letta_code.commands.wording import columns, price, tokens
from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings, load
from letta_code.core.errors import LettaError
from letta_code.core.messages import Value
from letta_code.llm.model import ModelInfo

FLAGS = (
    Flag(names=("--json",), help="One JSON array: name, window, prices in US dollars a million tokens, where from."),
    HELP,
)


class Row(Value, omit_defaults=False):
    """A model that can be used; prices in US dollars a million tokens, null where unknown, window 0 where unknown."""

    name: str
    window: int
    max_output: int
    input_price: float | None
    output_price: float | None
    source: str
    current: bool = False


def run(argv: Sequence[str]) -> int:
    """Print the table; 1 when there is nothing to use."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(verb_help("models [WORD] [--json]", __doc__ or "", FLAGS))
        return 0
    loaded = load(here())
    rows, problems = asyncio.run(_rows(loaded.settings))
    rows = [row for row in rows if all(word.lower() in row.name.lower() for word in parsed.words)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if parsed.on("json"):
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
        return 0
    if not rows:
        print("No model can be used yet." if not parsed.words else "No usable model has that in its name.")
        print("Set a provider's key, such as ANTHROPIC_API_KEY, start a model server, or run: letta-code configure")
        return 1
    table = [("", "model", "window", "in", "out", "from")]
    table += [
        ("*" if row.current else "", row.name, tokens(row.window) if row.window else "?", _dollars(row.input_price),
         _dollars(row.output_price), row.source)
        for row in rows
    ]  # fmt: skip
    print(*columns(table, right=(2, 3, 4)), sep="\n")
    print("\nPrices are in US dollars a million tokens; * is the model in use.")
    return 0


def _dollars(value: float | None) -> str:
    return price(None if value is None else value / 1_000_000)


async def _rows(settings: Settings) -> tuple[list[Row], list[str]]:
    from letta_code.llm.catalog import listed

    credentials = Credentials(Paths.find())
    rows = [_row(one.info, one.key, settings) for one in await asyncio.to_thread(lambda: list(listed(credentials.get)))]
    more, problems = await _served(settings, credentials)
    rows += more
    return sorted(rows, key=lambda row: (not row.current, row.name)), problems


async def _served(settings: Settings, credentials: Credentials) -> tuple[list[Row], list[str]]:
    """Models of servers on this machine and of the settings' endpoints, all asked at once."""
    from letta_code.llm.catalog import info_of
    from letta_code.llm.discover import list_models, local_servers
    from letta_code.llm.providers import PROVIDERS
    from letta_code.llm.redact import Secret

    problems: list[str] = []

    async def of_endpoint(name: str) -> list[Row]:
        endpoint = settings.endpoints[name]
        secret = Secret(credentials.get(name, endpoint.key_env))
        try:
            names = await list_models(endpoint.base_url, secret, dialect=endpoint.dialect)
        except LettaError as error:
            problems.append(f"{name}: {error}")
            return []
        infos = [info_of(f"{name}/{model}", name, model) for model in names]
        return [
            _row(msgspec.structs.replace(info, window=endpoint.window or info.window), "endpoint", settings)
            for info in infos
        ]

    probing = asyncio.create_task(local_servers())
    served = await asyncio.gather(*(of_endpoint(name) for name in settings.endpoints))
    servers = await probing
    rows = [row for one in served for row in one]
    known = {one.base_url.rstrip("/") for one in settings.endpoints.values()}
    by_url = {one.base_url: one.name for one in PROVIDERS.values()}
    for server in servers:
        if server.base_url in known:
            continue
        if server.base_url not in by_url:
            problems.append(f"{server.title} answers at {server.base_url}; letta-code configure adds it.")
            continue
        name = by_url[server.base_url]
        rows += [_row(info_of(f"{name}/{model}", name, model), server.title, settings) for model in server.models]
    return rows, problems


def _row(info: ModelInfo, source: str, settings: Settings) -> Row:
    def million(value: float | None) -> float | None:
        return None if value is None else round(value * 1_000_000, 6)

    return Row(
        name=info.name,
        window=info.window,
        max_output=info.max_output,
        input_price=million(info.input_price),
        output_price=million(info.output_price),
        source=source,
        current=info.name == settings.model,
    )
