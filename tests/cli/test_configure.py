"""The set-up: what is found, tried and saved, by questions and by flags."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from letta_code.cli._connecting import Connecting, Extras, checked_url, endpoint_name, full_name
from letta_code.cli._wizard import play
from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.core.errors import ConfigError, LettaError
from letta_code.llm.discover import LocalServer
from letta_code.tui.ports import ConnectChoice
from tests.fakes.model_server import ModelServer, Reply


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer((Reply(text="ready"),) * 20, models=("tiny", "large")) as one:
        yield one


@pytest.fixture(autouse=True)
def no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens to listen on this machine is not ours to find."""

    async def none() -> list[LocalServer]:
        return []

    monkeypatch.setattr("letta_code.llm.discover.local_servers", none)


class Person:
    """Types prepared answers; keeps what was said to it."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.secrets: list[str] = []
        self.said: list[str] = []

    async def ask(self, prompt: str, *, secret: bool = False) -> str:
        self.said.append(prompt)
        if not self.answers:
            raise EOFError
        answer = self.answers.pop(0)
        if secret:
            self.secrets.append(answer)
        return answer

    def say(self, text: str) -> None:
        self.said.append(text)

    @property
    def heard(self) -> str:
        return "\n".join(self.said)


def config() -> dict[str, object]:
    return yaml.safe_load(Paths.find().config.read_text())


async def test_a_server_by_its_address_is_tried_and_saved(server: ModelServer, tmp_path: Path) -> None:
    person = Person("2", "not an address", f"{server.url}/v1/", "lan", "", "sk-secret-key", "1")
    assert await play(Connecting(tmp_path), person.ask, person.say) == "lan/tiny"
    assert "is no address" in person.heard and "It works: “ready”" in person.heard
    assert config() == {
        "model": "lan/tiny",
        "endpoints": {"lan": {"base_url": f"{server.url}/v1", "dialect": "openai"}},
    }
    assert person.secrets == ["sk-secret-key"] and "sk-secret-key" not in person.heard
    credentials = Paths.find().credentials
    assert Credentials(Paths.find()).get("lan") == "sk-secret-key"
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
    assert server.requests[-1].headers["authorization"] == "Bearer sk-secret-key"


async def test_a_key_in_the_environment_is_offered_and_not_saved(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-env")
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server.url}/v1")
    person = Person("1", "my-model")
    assert await play(Connecting(tmp_path), person.ask, person.say) == "openai/my-model"
    assert "OpenAI (key in OPENAI_API_KEY)" in person.heard
    assert config() == {"model": "openai/my-model"} and not Paths.find().credentials.exists()


async def test_a_failed_try_is_told_and_nothing_is_saved_unless_wished(tmp_path: Path) -> None:
    with ModelServer((Reply(status=401, message="no"),) * 9) as server:
        url = f"{server.url}/v1"
        person = Person("2", url, "lan", "", "", "fake", "", "3")
        assert await play(Connecting(tmp_path), person.ask, person.say) == ""
        assert "That did not work" in person.heard and not Paths.find().config.exists()
        person = Person("2", url, "lan", "", "", "fake", "y")
        assert await play(Connecting(tmp_path), person.ask, person.say) == "lan/fake"
        assert config()["model"] == "lan/fake"


async def test_a_found_server_at_its_usual_place_needs_no_endpoint(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def one() -> list[LocalServer]:
        return [
            LocalServer(title="Ollama", base_url="http://127.0.0.1:11434/v1", models=("m",)),
            LocalServer(title="KoboldCpp", base_url="http://127.0.0.1:5001/v1", models=()),
        ]

    monkeypatch.setattr("letta_code.llm.discover.local_servers", one)
    ollama, other = await Connecting(tmp_path).found()
    assert (ollama.endpoint, ollama.base_url, ollama.label) == ("ollama", "", "Ollama")
    assert (other.endpoint, other.base_url) == ("koboldcpp", "http://127.0.0.1:5001/v1")
    monkeypatch.setenv("OLLAMA_HOST", server.url.removeprefix("http://"))
    assert [row.name for row in await Connecting(tmp_path).models(ollama)] == ["ollama/tiny", "ollama/large"]


async def test_a_provider_lists_its_models_with_window_and_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk")
    choice = ConnectChoice(model="", endpoint="anthropic")
    rows = await Connecting(tmp_path).models(choice)
    assert len(rows) > 3 and all(row.name.startswith("anthropic/") for row in rows)
    assert any("tokens" in row.note and "$" in row.note for row in rows)


async def test_the_end_of_the_input_saves_nothing(tmp_path: Path) -> None:
    person = Person("1", "openai")
    with pytest.raises(EOFError):
        await play(Connecting(tmp_path), person.ask, person.say)
    assert not Paths.find().home.exists()


async def test_a_keyring_that_is_missing_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    choice = ConnectChoice(model="x", endpoint="openai", key="sk")
    with pytest.raises(ConfigError) as caught:
        await Connecting(tmp_path, extras=Extras(keyring=True)).save(choice)
    assert "letta-code[keyring]" in caught.value.hint


def test_names() -> None:
    assert endpoint_name("LM Studio") == "lm-studio"
    assert endpoint_name("KoboldCpp", ["koboldcpp", "koboldcpp-2"]) == "koboldcpp-3"
    assert full_name(ConnectChoice(model="a/b", endpoint="lan")) == "lan/a/b"
    assert full_name(ConnectChoice(model="lan/b", endpoint="lan")) == "lan/b"
    assert full_name(ConnectChoice(model="scripted:x.yaml", endpoint="lan")) == f"scripted:{Path.cwd() / 'x.yaml'}"
    assert checked_url(" http://h/v1/ ") == "http://h/v1"
    for wrong in ("h:8000", "http://", "ftp://h"):
        with pytest.raises(LettaError):
            checked_url(wrong)


# ---------------------------------------------------------------- by flags


def run_verb(verb: str, *argv: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-m", "letta_code", verb, *argv],
        input=stdin,
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=30,
        check=False,
    )


def configure(*argv: str, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return run_verb("configure", *argv, stdin=stdin, **env)


def test_flags_add_an_endpoint_with_the_keys_variable(server: ModelServer) -> None:
    done = configure(
        "--model", "tiny", "--endpoint", "lan", f"{server.url}/v1", "--key-env", "MY_KEY", MY_KEY="sk-mine"
    )
    assert done.returncode == 0, done.stderr
    assert config() == {
        "model": "lan/tiny",
        "endpoints": {"lan": {"base_url": f"{server.url}/v1", "dialect": "openai", "key_env": "MY_KEY"}},
    }
    assert server.requests[-1].headers["authorization"] == "Bearer sk-mine"
    assert not Paths.find().credentials.exists()


def test_flags_save_a_key_from_stdin(server: ModelServer) -> None:
    done = configure("--model", "tiny", "--endpoint", "lan", f"{server.url}/v1", "--key-stdin", stdin="sk-typed\n")
    assert done.returncode == 0, done.stderr
    assert Credentials(Paths.find()).get("lan") == "sk-typed" and "sk-typed" not in done.stdout + done.stderr


def test_a_model_that_does_not_answer_is_not_saved() -> None:
    done = configure("--model", "x", "--endpoint", "lan", "http://127.0.0.1:9/v1")
    assert done.returncode == 75 and "127.0.0.1:9" in done.stderr and not Paths.find().config.exists()
    assert configure("--model", "x", "--endpoint", "lan", "http://127.0.0.1:9/v1", "--no-test").returncode == 0
    assert config()["model"] == "lan/x"


def test_connect_is_the_model_step_of_configure(server: ModelServer) -> None:
    done = run_verb("connect", "--model", "tiny", "--endpoint", "lan", f"{server.url}/v1")
    assert done.returncode == 0 and "Saved: lan/tiny" in done.stdout, done
    assert config()["model"] == "lan/tiny"
    asked = run_verb("connect")
    assert asked.returncode == 2 and "connect asks questions" in asked.stderr


def test_a_credentials_file_that_cannot_be_read_is_named_when_it_is_kept_aside(letta_home: Path) -> None:
    letta_home.mkdir()
    (letta_home / "credentials.yaml").write_text("a: [b\n")
    done = configure("--model", "openai/x", "--key-stdin", "--no-test", stdin="sk-new\n")
    (aside,) = letta_home.glob("credentials.yaml.corrupt-*")
    assert done.returncode == 0 and str(aside) in done.stdout + done.stderr, done


async def test_the_newest_models_come_first_and_fine_tunes_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    rows = await Connecting(tmp_path).models(ConnectChoice(model="", endpoint="openai"))
    names = [row.name.removeprefix("openai/") for row in rows]
    assert not [name for name in names if name.startswith("ft:")]
    order = ["gpt-5.1", "gpt-5", "gpt-4.1", "gpt-3.5-turbo", "gpt-5-2025-08-07", "gpt-4o-audio-preview"]
    assert sorted(order, key=names.index) == order


@pytest.mark.parametrize(
    "argv", [["--endpoint", "lan", "http://h/v1"], ["--model", "a/b", "--key-env", "UNSET_VARIABLE"], ["word"]]
)
def test_wrong_flags_are_usage_errors(argv: list[str]) -> None:
    assert configure(*argv).returncode == 2


def models(*argv: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-m", "letta_code", "models", *argv],
        capture_output=True,
        text=True,
        env={**os.environ, **env},
        timeout=30,
        check=False,
    )


def test_models_lists_what_can_be_used(server: ModelServer) -> None:
    import json

    configure("--model", "tiny", "--endpoint", "lan", f"{server.url}/v1", "--no-test")
    rows = json.loads(models("--json", "lan/", ANTHROPIC_API_KEY="sk").stdout)
    assert [(row["name"], row["current"], row["source"]) for row in rows] == [
        ("lan/tiny", True, "endpoint"),
        ("lan/large", False, "endpoint"),
    ]
    claude = json.loads(models("--json", "anthropic/", ANTHROPIC_API_KEY="sk").stdout)
    assert claude and all(row["window"] > 0 and row["input_price"] > 0 for row in claude)
    assert "* " in models(ANTHROPIC_API_KEY="sk").stdout


def test_an_endpoint_that_is_down_is_told_beside_the_list() -> None:
    configure("--model", "x", "--endpoint", "lan", "http://127.0.0.1:9/v1", "--no-test")
    done = models(ANTHROPIC_API_KEY="sk")
    assert done.returncode == 0 and "lan: http://127.0.0.1:9/v1/models" in done.stderr
