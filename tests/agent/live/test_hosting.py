"""The owner's side: strangers, other protocols, garbage, and followers that do not read."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from letta_code.agent.live import hosting, wire
from letta_code.agent.live.door import socket_path
from letta_code.agent.session import Session
from letta_code.agent.start import start_session
from letta_code.config.paths import Paths
from letta_code.core import events as ev
from letta_code.core.errors import LettaError
from letta_code.host.sockets import Lines, connect, listen
from tests.agent.live.harness import Heard, follower, long_answer, options, write_script
from tests.agent.live.test_following import hosted


async def reached(session: Session) -> Lines:
    return await connect(socket_path(Paths.find(), session.conversation_id))


async def test_another_protocol_is_told_plainly(tmp_path: Path) -> None:
    write_script(tmp_path, {"text": "Hello."})
    owner = await hosted(tmp_path)
    lines = await reached(owner)
    lines.write(b'{"say":"hello","protocol":99,"of_tomorrow":{}}\n')
    bye = wire.from_owner(await lines.read() or b"")
    assert isinstance(bye, wire.Bye)
    assert bye.reason == "protocol"
    assert "speaks protocol 1, not 99" in bye.text
    assert await lines.read() is None
    await owner.close()


async def test_a_follower_of_another_protocol_reads_the_store_and_says_why_it_cannot_act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_script(tmp_path, {"text": "Hello."}, {"text": "Again."})
    owner = await hosted(tmp_path)
    await owner.send("go")
    monkeypatch.setattr(wire, "PROTOCOL", 2)

    async def refuses(lines: Lines) -> None:
        await lines.read()
        lines.write(wire.encode(wire.Bye(reason="protocol", text="letta-code 9.9 speaks protocol 1, not 2.")))
        await lines.close()

    assert owner.door is not None
    owner.door.shut()
    listener = await listen(socket_path(Paths.find(), owner.conversation_id), refuses)
    attached = await follower(tmp_path, owner.conversation_id)
    heard = Heard(attached)
    await heard.of(ev.RunFinished)
    with pytest.raises(LettaError, match="speaks protocol 1, not 2"):
        await attached.interrupt()
    listener.close()
    await owner.close()
    await heard.end()
    heard.check(0, owner.conversation_id)
    await attached.close()


@pytest.mark.parametrize("garbage", [b"\x00\xff\xfe garbage\n", b"GET / HTTP/1.1\r\n\r\n", b"[1,2]\n", b"{}\n", b""])
async def test_garbage_is_cut_off_and_disturbs_nobody(tmp_path: Path, garbage: bytes) -> None:
    write_script(tmp_path, long_answer(40))
    owner = await hosted(tmp_path)
    attached = await follower(tmp_path, owner.conversation_id) if owner.history.started else None
    assert attached is None
    lines = await reached(owner)
    lines.write(garbage or b"no end of line")
    if not garbage:
        lines.cut()
    else:
        assert await lines.read() is None
    after_hello = await reached(owner)
    after_hello.write(wire.encode(wire.Hello()))
    assert isinstance(wire.from_owner(await after_hello.read() or b""), wire.Welcome)
    after_hello.write(b'{"say":"ask","id":5,"act":{"act":"explode"}}\n')
    replied = wire.from_owner(await after_hello.read() or b"")
    assert isinstance(replied, wire.Replied)
    assert replied.id == 5
    assert replied.fault is not None
    assert "does not know how to do that" in replied.fault.text
    after_hello.write(b"\xff\xff\n")
    assert await after_hello.read() is None
    await owner.send("go")
    ended = await owner.idle()
    assert ended is not None
    assert ended.reason == "done"
    await owner.close()


async def test_a_follower_that_reads_nothing_is_cut_off_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosting, "UNREAD_LIMIT", 50_000)
    write_script(tmp_path, {"text": "x" * 400_000, "pieces": 1000})
    owner = await hosted(tmp_path)
    deaf = socket.socket(socket.AF_UNIX)
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    deaf.connect(str(socket_path(Paths.find(), owner.conversation_id)))
    deaf.sendall(wire.encode(wire.Hello()))
    deaf.settimeout(60)
    assert await asyncio.to_thread(deaf.recv, 1, socket.MSG_PEEK)  # it is let in
    await owner.send("go")
    attached = await follower(tmp_path, owner.conversation_id)
    heard = Heard(attached)
    ended = await owner.idle()
    assert ended is not None
    assert ended.reason == "done"

    def drained() -> int:
        total = 0
        while piece := deaf.recv(1 << 20):
            total += len(piece)
        return total

    got = await asyncio.to_thread(drained)  # to its end: it was cut
    assert got < 500_000
    await heard.of(ev.RunFinished)
    await owner.close()
    await heard.end()
    heard.check(0, owner.conversation_id)
    await attached.close()
    deaf.close()


async def test_a_session_that_ends_at_once_never_listens(tmp_path: Path) -> None:
    write_script(tmp_path, {"text": "Hello."})
    session = await start_session(options(tmp_path))
    await session.close()
    assert not socket_path(Paths.find(), session.conversation_id).exists()


async def test_a_face_of_the_same_process_that_comes_late_gets_the_output_so_far(tmp_path: Path) -> None:
    bash = {"name": "Bash", "args": {"command": "echo early; sleep 30"}}
    write_script(tmp_path, {"text": "A", "tools": [bash]})
    owner = await hosted(tmp_path)
    first = Heard(owner)
    await owner.send("go")
    await first.of(ev.ToolOutput)
    late = Heard(owner)
    attached = await follower(tmp_path, owner.conversation_id)
    far = Heard(attached)
    for heard in (late, far):
        assert (await heard.of(ev.ToolStarted)).name == "Bash"
        assert (await heard.of(ev.ToolOutput)).text == "early\n"
    await owner.close()
    await attached.close()


def test_the_start_loads_nothing_of_what_only_followers_need() -> None:
    program = (
        "import sys, letta_code.agent.start\nprint(*[name for name in sys.modules if name.startswith('letta_code.')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "letta_code.agent.live.door" in loaded
    later = {"letta_code.host.sockets", *(f"letta_code.agent.live.{name}" for name in ("hosting", "wire", "attached"))}
    assert not loaded & later


async def test_what_a_follower_asked_before_the_end_still_gets_its_own_reply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_script(tmp_path, {"text": "Hello."})
    owner = await hosted(tmp_path)
    await owner.send("go")
    await owner.idle()
    attached = await follower(tmp_path, owner.conversation_id)
    asked, ending, ended = asyncio.Event(), asyncio.Event(), hosting.Hosting.ended

    async def last_moment(self: hosting.Hosting) -> None:
        ending.set()
        await ended(self)

    async def slowly(*_: object, client_id: str = "") -> str:
        asked.set()
        await ending.wait()
        await asyncio.sleep(0.05)
        return client_id

    monkeypatch.setattr(hosting.Hosting, "ended", last_moment)
    monkeypatch.setattr(owner, "send", slowly)
    sending = asyncio.create_task(attached.send("and this", client_id="c-1"))
    await asyncio.wait_for(asked.wait(), 60)
    await owner.close()
    assert await asyncio.wait_for(sending, 60) == "c-1"
    await attached.close()
