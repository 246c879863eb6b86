"""Rows I with every sandbox: what a command prints of files, its environment and the process table gets nowhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from letta_code.core.requests import Approve
from tests.adversarial.stage import Stage
from tests.adversarial.test_memory_writes import letta
from tests.e2e.test_secrets import SERVICE, found_in, leaks, open_to_others
from tests.safety.canaries import CANARIES, KEY_KINDS, private_key

COMMANDS = (
    "cat canaries keys; head -5 keys; python3 boom.py; git remote -v",
    "env; env > sub/own; cat /proc/self/environ /proc/$PPID/environ | tr '\\0' '\\n'",
    "cat /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n' > sub/others; echo looked",
    "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | tee sub/argv",
)


@pytest.mark.row("I01", "I02", "I03", "I05", "I06")
async def test_what_commands_find_of_secrets_is_neither_sent_nor_kept_nor_given_to_them(
    stage: Stage,
    sandbox: str,
    letta_home: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    monkeypatch.setenv("MY_SERVICE_TOKEN", SERVICE)
    (stage.ws / "canaries").write_text("".join(f"{one.line}\n" for one in CANARIES))
    (stage.ws / "keys").write_text("".join(map(private_key, KEY_KINDS)))
    (stage.ws / "boom.py").write_text(f"raise ValueError('no login with ' + {CANARIES[0].value!r})\n")
    password = next(one.value for one in CANARIES if one.kind == "password-in-address")
    stage.git("remote", "add", "origin", f"https://bob:{password}@localhost/x.git")
    session = await stage.open()
    try:
        calls = [("Bash", {"command": command}) for command in COMMANDS]
        played = await stage.run(session, *calls, answer=Approve())
    finally:
        await session.close()
    assert "<secret:" in played.text
    assert "looked" in played.text
    assert {
        n: found_in(request.body) for n, request in enumerate(stage.server.requests) if found_in(request.body)
    } == {}
    assert leaks(letta_home) == {}
    assert open_to_others(letta_home) == []
    assert (stage.ws / "sub/argv").read_text().strip()
    assert found_in((stage.ws / "sub/argv").read_bytes()) == []
    seen = {name: found_in((stage.ws / "sub" / name).read_bytes()) for name in ("own", "others")}
    if sandbox == "off":  # what runs there has the environment of who let it run: so it is asked about
        assert len(played.asked) == len(COMMANDS)
        assert SERVICE in seen["own"]
        record_property("I02", f"{sandbox}:ask")
    else:
        assert (stage.ws / "sub/own").read_text().strip()
        assert seen == {"own": [], "others": []}
    exported = letta(stage, "export", session.conversation_id)
    assert "<secret:" in exported
    assert found_in(exported.encode()) == []
