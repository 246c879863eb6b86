"""The model of the soak: commands, reads and writes for ever, and summaries where a compaction asks for one."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

from tests.fakes.model_server import ModelServer, Recorded
from tests.fakes.replies import Call, Reply

STEPS = 10  # turns a message
_FILLER = "It was looked at closely and written down. " * 12
_SUMMARY = Reply(
    text=f"## Goals\n\nThe parts are worked on, one after the other.\n\n{_FILLER}", counted=True, piece=200
)
_NOTHING = Reply(text="NOTHING", counted=True)  # what a reflection finds


class SoakServer(ModelServer):
    """Counts the turns that it served; forgets the requests: thousands of bodies are gigabytes.

    A request without tools is no turn: it is a compaction's, or a reflection's.
    """

    def __init__(self, leak: bool) -> None:
        self._turns = tuple(replies(leak))
        self._guard = threading.Lock()
        self._asked = 0
        super().__init__()

    @property
    def served(self) -> int:
        """Turns so far; may be asked on any thread."""
        with self._guard:
            return self._asked

    def _number(self, request: Recorded) -> int:
        self.requests.clear()
        if b'"tools":[' not in request.body:
            return -2 if b"Answer with NOTHING" in request.body else -1
        with self._guard:
            self._asked += 1
            return self._asked  # also in the ids of the calls: each is another card on the screen

    def _reply_at(self, number: int) -> Reply:
        if number < 0:
            return _SUMMARY if number == -1 else _NOTHING
        return self._turns[(number - 1) % len(self._turns)]


def replies(leak: bool) -> Iterator[Reply]:
    """One message's work: commands, reads and writes, and an answer in Markdown, a huge one for `leak`."""
    for step in range(STEPS - 1):
        match step % 3:
            case 0:
                call = Call(name="Bash", arguments=json.dumps({"command": f"seq {step} {step + 300}"}))
            case 1:
                call = Call(name="Write", arguments=json.dumps({"path": f"f{step}.txt", "content": _FILLER}))
            case _:
                call = Call(name="Read", arguments=json.dumps({"path": f"f{step - 1}.txt"}))
        yield Reply(text=f"Step {step}. {_FILLER[:200]}", tools=(call,), piece=40, counted=True)
    body = _FILLER * (400 if leak else 1)
    yield Reply(text=f"## Done\n\n- one\n- two\n\n```python\nprint(1)\n```\n\n{body}", piece=200, counted=True)
