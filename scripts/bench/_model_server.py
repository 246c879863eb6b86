"""The scripted model server of the tests as a process of its own, noting when requests came and answers were out.

`_model_server.py REPLIES.json LOG.jsonl once|loop` prints its address.  A line of the log: `at` and `sent` (seconds on
the monotonic clock), `bytes`, `body` (the file that holds it).
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path

import msgspec

from tests.fakes.model_server import ModelServer, Recorded
from tests.fakes.replies import Reply


class Noting(threading.Event):
    """Set when an answer is out: writes the line of its request."""

    def __init__(self, request: Recorded, log: Path, number: int) -> None:
        super().__init__()
        self._request = request
        self._log = log
        self._number = number

    def set(self) -> None:
        """Note the time; the rest of the work is done after it."""
        sent = time.monotonic()
        super().set()
        body = self._log.with_name(f"{self._number:05}.json")
        body.write_bytes(self._request.body)
        line = {"at": self._request.at, "sent": sent, "bytes": len(self._request.body), "body": str(body)}
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._request.body = b""  # a thousand bodies of a long conversation are not kept


def main() -> None:
    """Serve until killed."""
    replies = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=tuple[Reply, ...])
    log, count = Path(sys.argv[2]), 0

    def note(request: Recorded) -> None:
        nonlocal count
        if request.method == "POST":
            count += 1
            request.sent = Noting(request, log, count)

    server = ModelServer(replies, loop=sys.argv[3] == "loop", on_request=note)
    with server:
        print(server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
