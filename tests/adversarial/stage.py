"""Stage: a real session in a work tree, a scripted model behind HTTP, a person who answers, a port that hears leaks.

What is asserted are effects: files on disk, connections that reached the listener, processes that live, what was asked.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from letta_code.agent.port import SessionOptions
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.config.settings import ReflectionSettings, Settings
from letta_code.core import events as ev
from letta_code.core.messages import text_of
from letta_code.core.requests import Answer, ApprovalRequest, Approve, Deny
from tests.fakes.model_server import ModelServer
from tests.fakes.replies import Call, Reply

ALLOW = ("Bash(ls)", "Bash(ls *)", "Bash(echo *)", "Bash(cat *)", "Bash(git status)", "Bash(npm test)")
DENY = ("Bash(rm)", "Bash(curl)", "Read(.env)")


class Played:
    """What came of calls: the approvals asked for, and each call's result (status and text), in order."""

    def __init__(self, asked: list[ApprovalRequest], results: list[ev.ToolResult]) -> None:
        self.asked = asked
        self.results = results

    @property
    def verdict(self) -> str:
        """deny, ask or allow: what happened to the last call."""
        if self.asked:
            return "ask"
        return "deny" if self.results and self.results[-1].status == "denied" else "allow"

    @property
    def text(self) -> str:
        """What the model was told."""
        return "\n".join(text_of(result.content) for result in self.results)


class Stage:
    """The work tree `ws`, whose `victim.txt` must survive; `home` is the person's, `outside` a folder beside."""

    def __init__(self, tmp_path: Path, *, allow: Sequence[str] = ALLOW, deny: Sequence[str] = DENY) -> None:
        self.top = tmp_path
        self.home = Path(os.environ["HOME"])
        self.ws = tmp_path / "app"
        self.outside = tmp_path / "outside"
        for folder in (self.ws, self.outside, self.ws / "sub"):
            folder.mkdir(parents=True, exist_ok=True)
        (self.ws / "x").write_text("precious\n")
        (self.ws / "f").write_text("x\n")
        (self.ws / ".env").write_text("KEY=value\n")
        (self.outside / "secret").write_text("not yours\n")
        self.git("init", "-q", "-b", "main")
        self.git("add", "x", "f")
        self.git("commit", "-q", "-m", "first")
        self.server = ModelServer()
        self._allow, self._deny = tuple(allow), tuple(deny)
        self.listener = Listener()
        self.came_of: set[str] = set()  # of its commands: denied, asked (and declined), ran
        self.commands = True  # whether the model may run some: not in a test that counts as played without
        self.reflects = False  # it would take the model's next answer

    def git(self, *words: str) -> str:
        """The person's own git in the work tree."""
        done = subprocess.run(["git", *words], cwd=self.ws, capture_output=True, text=True, check=True)
        return done.stdout

    def __enter__(self) -> Stage:
        self.server.__enter__()
        self.listener.start()
        os.environ["OPENAI_BASE_URL"] = self.server.url + "/v1"  # conftest restores the environment
        os.environ["OPENAI_API_KEY"] = "test-key"
        return self

    def __exit__(self, *error: Any) -> None:
        self.listener.stop()
        self.server.__exit__(*error)

    async def open(self, *, mode: str = "ask", conversation: str = "", trusted: bool = True, **more: Any) -> Session:
        """A session as a face would open it."""
        settings = Settings(
            model="openai/fake",
            allow=self._allow,
            deny=self._deny,
            sandbox=sandbox_wish(),
            reflection=ReflectionSettings(after_compaction=self.reflects),
        )
        options = SessionOptions(
            cwd=str(self.ws),
            settings=settings,
            mode=mode,
            conversation=conversation,
            face="test",
            trusted=trusted,
            **more,
        )
        return await start_session(options)

    async def play(
        self,
        *calls: tuple[str, dict[str, Any]],
        answer: Answer | None = None,
        mode: str = "ask",
        trusted: bool = True,
    ) -> Played:
        """One run in which the model makes these calls, a step each; the person says `answer` (no) to what is asked."""
        session = await self.open(mode=mode, trusted=trusted)
        try:
            return await self.run(session, *calls, answer=answer)
        finally:
            await session.close()

    async def run(
        self, session: Session, *calls: tuple[str, dict[str, Any]], answer: Answer | None = None, words: str = "Go on."
    ) -> Played:
        """The same in a session that is open."""
        assert self.commands or not {"Bash", "Git"} & {name for name, _ in calls}, "the test needs the fixture sandbox"
        before = session.history.last_seq
        replies = [
            Reply(counted=True, tools=(Call(name=name, arguments=json.dumps(arguments), id=f"c{before}-{number}"),))
            for number, (name, arguments) in enumerate(calls)
        ]
        self.server.reply(*replies, Reply(text="Done.", counted=True))
        asked: list[ApprovalRequest] = []

        async def person() -> None:
            async for event in session.events(before):
                if isinstance(event, ev.RequestMade) and isinstance(event.request, ApprovalRequest):
                    asked.append(event.request)
                    await session.answer(event.request.request_id, answer or Deny(), by="test")

        watching = asyncio.create_task(person())
        await session.send(words)
        async with asyncio.timeout(120):
            await session.idle()
        watching.cancel()
        events = await session.read(before, session.history.last_seq)
        played = Played(asked, [event for event in events if isinstance(event, ev.ToolResult)])
        declined = {request.call_id for request in asked if not isinstance(answer, Approve)}
        for result in played.results:
            if calls[int(result.call_id.rpartition("-")[2])][0] == "Bash":
                refused = "denied" if result.status == "denied" else "ran"
                self.came_of.add("asked" if result.call_id in declined else refused)
        return played

    async def each(self, session: Session, commands: Sequence[str]) -> list[str]:
        """The verdict on each of many commands, in one run; what is asked is declined."""
        played = await self.run(session, *[("Bash", {"command": command}) for command in commands])
        asked = {request.call_id for request in played.asked}
        return [
            "ask" if result.call_id in asked else "deny" if result.status == "denied" else "allow"
            for result in played.results
        ]

    async def bash(self, command: str, *, yes: bool = False, mode: str = "ask", **more: Any) -> Played:
        """One command."""
        return await self.play(("Bash", {"command": command, **more}), answer=Approve() if yes else Deny(), mode=mode)

    @property
    def untouched(self) -> bool:
        """Whether the precious files are as they were."""
        return (
            (self.ws / "x").exists()
            and (self.ws / "x").read_text() == "precious\n"
            and (self.outside / "secret").read_text() == "not yours\n"
            and not (self.ws / "pwned").exists()
            and not (self.home / "pwned").exists()
        )


class Listener:
    """A port of loopback that counts who comes: where something leaks, it leaks here."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def start(self) -> None:
        """Listen."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._socket.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(1)
                try:
                    self.heard.append(peer.recv(4096))
                except OSError:
                    self.heard.append(b"")


def sandbox_wish() -> Any:
    """The sandbox that the tests run with: bubblewrap, landlock or off."""
    return os.environ.get("LETTA_SANDBOX", "off")


def confined() -> bool:
    """Whether commands are held by a sandbox that makes asking needless."""
    return sandbox_wish() == "bubblewrap"
