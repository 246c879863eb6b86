"""litellm behind our protocol keeps the contract.  (Slow to import: all its tests are here.)"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from letta_code.config.settings import Settings
from letta_code.core.errors import ConfigError
from letta_code.llm.catalog import ResolvedModel, resolve
from letta_code.llm.gateway import Gateway
from letta_code.llm.model import ChatModel
from letta_code.llm.transport import StreamLimits
from tests.fakes.model_server import ModelServer, Recorded, Reply
from tests.llm.contract import Contract, parts_of
from tests.llm.examples import request, user

pytestmark = pytest.mark.slow


class TestGateway(Contract):
    dialect = "litellm"
    model = "openai/fake"
    sees_comments = False
    keeps_connection = False
    statuses: ClassVar[dict[int, int]] = {504: 408}  # litellm's Timeout

    def open(self, target: ResolvedModel, limits: StreamLimits) -> ChatModel:
        return Gateway(target, limits)

    def wire_messages(self, recorded: Recorded) -> bytes:
        """litellm writes the body itself, messages first: compare the list, encoded anew, message by message."""
        return msgspec.json.encode(recorded.json["messages"])[:-1]

    def sent_arguments(self, recorded: Recorded) -> list[object]:
        return [
            msgspec.json.decode(one["function"]["arguments"])
            for message in recorded.json["messages"]
            for one in message.get("tool_calls") or ()
        ]

    async def test_unknown_provider_is_a_configuration_error(self, server: ModelServer) -> None:
        model = Gateway(resolve("nobodyknows/fake", Settings(), lambda _: None))
        with pytest.raises(ConfigError, match="nobodyknows/fake"):
            await parts_of(model, request(user("hi")))


def test_litellm_leaves_the_environment_alone(tmp_path: Path) -> None:
    """Neither its own flags nor a .env of the folder stay in the environment, which commands of the agent inherit."""
    (tmp_path / ".env").write_text("OPENAI_API_KEY=from-the-project\n")
    code = """
import os
before = dict(os.environ)
from letta_code.llm.gateway import load_litellm
litellm = load_litellm()
print(dict(os.environ) == before, litellm.suppress_debug_info, litellm.telemetry)
"""
    environ = {**os.environ, "TIKTOKEN_CACHE_DIR": str(tmp_path), "CUSTOM_TIKTOKEN_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path, env=environ
    )
    assert (done.stdout, done.stderr) == ("True True False\n", "")


def test_litellm_says_nothing(server_reply: None, capfd: pytest.CaptureFixture[str]) -> None:
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.fixture
async def server_reply() -> None:
    """One answer and one fault through litellm."""
    with ModelServer((Reply(text="ok"), Reply(status=500, message="no"))) as server:
        contract = TestGateway()
        await parts_of(contract.client(server.url), request(user("hi")))
        with pytest.raises(Exception, match="500"):
            await parts_of(contract.client(server.url), request(user("hi")))
