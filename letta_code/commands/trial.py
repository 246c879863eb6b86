"""Trying a model with one small call before it is chosen; no command of its own."""

from __future__ import annotations

import asyncio

from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings, with_saved_endpoints
from letta_code.llm.connect import open_model


async def call(name: str, settings: Settings) -> float:
    """Ask the model for one word; the seconds it took, 0 where there is nothing to ask (scripts, local files).

    Raises `ConfigError` for a name, endpoint or key that cannot be used and `ProviderError` when the call failed.
    """
    paths = Paths.find()
    known = with_saved_endpoints(settings, paths)
    model = await asyncio.to_thread(open_model, name, known, Credentials(paths).get)
    try:
        if name.startswith(("scripted:", "local/")):
            return 0.0  # a script's turns are for the conversation; a local model takes minutes to load
        from letta_code.llm.discover import test_call

        return (await test_call(model)).seconds
    finally:
        await model.close()
