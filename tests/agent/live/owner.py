"""A process that runs a conversation: `python -m tests.agent.live.owner FOLDER MODE`; prints the id when it is open."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from letta_code.agent.start import start_session
from tests.agent.live.harness import options


async def main(folder: Path, mode: str) -> None:
    session = await start_session(options(folder, mode=mode, face="owner"))
    await session.send("go", client_id="go")
    print(session.conversation_id, flush=True)
    async for _ in session.events():
        pass
    await session.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
