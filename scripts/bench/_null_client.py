"""The least that a Python program with httpx does: sends given bodies one after the other, reads the streamed answers.

`_null_client.py sync|async URL BODY.json…`: plain `httpx.Client()` or `httpx.AsyncClient()` with their defaults.
"""

from __future__ import annotations

import sys

HEADERS = {"content-type": "application/json", "authorization": "Bearer sk-bench", "accept": "text/event-stream"}


def sync(url: str, bodies: list[str]) -> None:
    """One connection, one body after the other."""
    import httpx

    with httpx.Client() as client:
        for body in bodies:
            with open(body, "rb") as file:
                content = file.read()
            with client.stream("POST", url, content=content, headers=HEADERS) as response:
                for _ in response.iter_lines():
                    pass


def concurrent(url: str, bodies: list[str]) -> None:
    """The same on an event loop, as an agent needs it."""
    import asyncio

    import httpx

    async def main() -> None:
        async with httpx.AsyncClient() as client:
            for body in bodies:
                with open(body, "rb") as file:  # noqa: ASYNC230 - nothing else runs on this loop
                    content = file.read()
                async with client.stream("POST", url, content=content, headers=HEADERS) as response:
                    async for _ in response.aiter_lines():
                        pass

    asyncio.run(main())


if __name__ == "__main__":
    (sync if sys.argv[1] == "sync" else concurrent)(sys.argv[2], sys.argv[3:])
