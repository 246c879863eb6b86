"""A face of its own process: follows a conversation after a seq and prints every event, one line of JSON each."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))  # the checkout: letta_code as it is here

from letta_code.agent.live.opening import attach
from letta_code.agent.port import SessionOptions
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core import events as ev


async def main(conversation: str, after: int) -> None:
    options = SessionOptions(cwd=os.getcwd(), settings=Settings(), conversation=conversation, face="torture")
    session = await attach(options, Paths.find())
    if session is None:
        return
    async for event in session.events(after):
        sys.stdout.buffer.write(ev.encode(event) + b"\n")
        sys.stdout.buffer.flush()
    await session.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
