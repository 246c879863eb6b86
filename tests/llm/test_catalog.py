"""Names become addresses, dialects and keys; what is known of a model comes from litellm's table."""

from __future__ import annotations

import subprocess
import sys

import pytest

from letta_code.config.settings import Endpoint, Settings
from letta_code.core.errors import ConfigError
from letta_code.core.messages import Usage
from letta_code.llm import prices
from letta_code.llm.address import is_loopback
from letta_code.llm.anthropic_messages import AnthropicMessages
from letta_code.llm.catalog import ResolvedModel, edit_family, info_of, listed, resolve
from letta_code.llm.connect import open_model
from letta_code.llm.openai_chat import OpenAIChat
from letta_code.llm.providers import PROVIDERS

KEYS = {name: "k-123456" for provider in PROVIDERS.values() for name in provider.key_env[:1]}


def find(name: str, settings: Settings | None = None, **environ: str) -> ResolvedModel:
    return resolve(name, settings or Settings(), {}.get, environ)


@pytest.mark.parametrize(
    ("name", "url", "dialect", "wire"),
    [
        ("openai/gpt-5", "https://api.openai.com/v1", "openai", "gpt-5"),
        ("gpt-4o", "https://api.openai.com/v1", "openai", "gpt-4o"),
        ("anthropic/claude-opus-4-6", "https://api.anthropic.com", "anthropic", "claude-opus-4-6"),
        ("claude-opus-4-6", "https://api.anthropic.com", "anthropic", "claude-opus-4-6"),
        ("openrouter/anthropic/claude-x", "https://openrouter.ai/api/v1", "openai", "anthropic/claude-x"),
        ("groq/llama", "https://api.groq.com/openai/v1", "openai", "llama"),
        ("together_ai/org/model", "https://api.together.xyz/v1", "openai", "org/model"),
        ("ollama/qwen3:8b", "http://127.0.0.1:11434/v1", "openai", "qwen3:8b"),
        ("ollama_chat/qwen3:8b", "http://127.0.0.1:11434/v1", "openai", "qwen3:8b"),
        ("lm_studio/x", "http://127.0.0.1:1234/v1", "openai", "x"),
        ("vllm/x/y", "http://127.0.0.1:8000/v1", "openai", "x/y"),
        ("gemini/gemini-3-pro", "", "litellm", "gemini/gemini-3-pro"),
        ("bedrock/anthropic.claude", "", "litellm", "bedrock/anthropic.claude"),
        ("openai/gpt-5-codex", "https://api.openai.com/v1", "litellm", "openai/gpt-5-codex"),  # Responses API only
        ("local/tiny", "", "local", "tiny"),
        ("scripted:/x/y.yaml", "", "scripted", "/x/y.yaml"),
    ],
)
def test_names(name: str, url: str, dialect: str, wire: str) -> None:
    found = find(name, **KEYS)
    assert (found.base_url, found.dialect, found.wire_name, found.name) == (url, dialect, wire, name)
    assert found.info.name == name


def test_own_endpoints_go_before_providers_of_the_same_name() -> None:
    endpoint = Endpoint(
        base_url="http://10.0.0.5:9000/v1/", key_env="BOX_KEY", headers={"x-team": "a"}, window=32000, max_output=4000
    )
    found = find("openai/gpt-5", Settings(endpoints={"openai": endpoint}), BOX_KEY="sekret")
    assert found.base_url == "http://10.0.0.5:9000/v1"
    assert found.secret.reveal() == "sekret"
    assert found.headers == {"x-team": "a"}
    assert (found.info.window, found.info.max_output) == (32000, 4000)
    assert found.first_part_seconds == 300


@pytest.mark.parametrize(
    ("variables", "name", "url"),
    [
        ({"OPENAI_BASE_URL": "http://x.test/v1/"}, "openai/gpt-5", "http://x.test/v1"),
        ({"OPENAI_API_BASE": "http://y.test/v1"}, "openai/gpt-5", "http://y.test/v1"),
        (
            {"OPENAI_BASE_URL": "http://x.test/v1", "OPENAI_API_BASE": "http://y.test"},
            "openai/gpt-5",
            "http://x.test/v1",
        ),
        ({"ANTHROPIC_BASE_URL": "http://x.test"}, "anthropic/claude-opus-4-6", "http://x.test"),
        ({"OLLAMA_HOST": "0.0.0.0"}, "ollama/x", "http://127.0.0.1:11434/v1"),
        ({"OLLAMA_HOST": "box:4000"}, "ollama/x", "http://box:4000/v1"),
        ({"OLLAMA_HOST": "https://box.test:1/"}, "ollama/x", "https://box.test:1/v1"),
    ],
)
def test_addresses_from_the_environment(variables: dict[str, str], name: str, url: str) -> None:
    assert find(name, **{**KEYS, **variables}).base_url == url


def test_responses_only_models_stay_with_our_client_at_another_address() -> None:
    found = find("openai/gpt-5-codex", **KEYS, OPENAI_BASE_URL="http://127.0.0.1:1/v1")
    assert found.dialect == "openai"


def test_a_key_in_the_environment_goes_before_a_stored_one() -> None:
    stored = {"openai": "stored"}.get
    assert resolve("openai/gpt-5", Settings(), stored, {}).secret.reveal() == "stored"
    assert resolve("openai/gpt-5", Settings(), stored, {"OPENAI_API_KEY": "env"}).secret.reveal() == "env"


def test_a_missing_key_says_which_variable() -> None:
    with pytest.raises(ConfigError, match="no key for Groq") as caught:
        find("groq/llama")
    assert "GROQ_API_KEY" in caught.value.hint


def test_no_key_is_needed_on_this_machine() -> None:
    assert not find("ollama/x").secret
    assert not find("openai/x", OPENAI_BASE_URL="http://localhost:9/v1").secret


@pytest.mark.parametrize("name", ["", "  ", "openai/", "scripted:", "local/", "no-such-model-anywhere"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        find(name, **KEYS)
    assert caught.value.hint


@pytest.mark.parametrize(
    "endpoint", [Endpoint(), Endpoint(base_url="localhost:80"), Endpoint(base_url="http://x", dialect="soap")]
)
def test_endpoints_that_are_none(endpoint: Endpoint) -> None:
    with pytest.raises(ConfigError, match="box"):
        find("box/x", Settings(endpoints={"box": endpoint}))


@pytest.mark.parametrize(
    ("setting", "url", "seconds"),
    [
        (None, "https://x.test", 300.0),
        (None, "http://127.0.0.1:1", 0.0),
        (20.0, "http://127.0.0.1:1", 20.0),
        (0.0, "https://x.test", 0.0),
    ],
)
def test_how_long_the_first_part_may_take(setting: float | None, url: str, seconds: float) -> None:
    endpoint = Endpoint(base_url=url, first_part_seconds=setting)
    assert find("box/x", Settings(endpoints={"box": endpoint})).first_part_seconds == seconds


@pytest.mark.parametrize(
    ("url", "here"),
    [
        ("http://127.0.0.1:80/v1", True),
        ("http://127.9.9.9", True),
        ("http://localhost:1/v1", True),
        ("http://[::1]:80/v1", True),
        ("http://user:pw@localhost/v1", True),
        ("http://models.localhost", True),
        ("https://localhost.evil.test", False),
        ("https://127.0.0.1.evil.test", False),
        ("http://10.0.0.1", False),
        ("https://api.openai.com/127.0.0.1", False),
    ],
)
def test_loopback(url: str, here: bool) -> None:
    assert is_loopback(url) is here


@pytest.mark.parametrize(
    ("model", "family"),
    [
        ("gpt-5", "apply_patch"),
        ("gpt-5.2-mini", "apply_patch"),
        ("openai/gpt-5-nano", "apply_patch"),
        ("gpt-5.1-codex-max", "apply_patch"),
        ("codex-mini-latest", "apply_patch"),
        ("gpt-4.1", "apply_patch"),
        ("o4-mini", "apply_patch"),
        ("o3", "apply_patch"),
        ("gpt-4o", "edit"),
        ("gpt-50", "edit"),
        ("gpt-oss-120b", "edit"),
        ("claude-opus-4-6", "edit"),
        ("olmo3", "edit"),
        ("qwen3-coder", "edit"),
    ],
)
def test_edit_family(model: str, family: str) -> None:
    assert edit_family(model) == family


def test_windows_and_prices_come_from_the_table() -> None:
    info = info_of("anthropic/claude-opus-4-6", "anthropic", "claude-opus-4-6")
    assert (info.window, info.max_output, info.sees_images) == (1_000_000, 128_000, True)
    cost = info.cost(Usage(input=1000, output=100, cache_read=400, cache_write=100))
    assert cost == pytest.approx(500 * 5e-6 + 400 * 5e-7 + 100 * 6.25e-6 + 100 * 2.5e-5)


def test_unknown_models_have_no_window_and_no_price() -> None:
    info = info_of("x/y", "x", "y")
    assert (info.window, info.input_price, info.cost(Usage(input=1))) == (0, None, None)


def test_the_table_is_whole() -> None:
    assert len(prices.table()) > 3000
    assert "sample_spec" not in prices.table()


def test_listed_models_have_a_key_and_can_call_tools() -> None:
    names = {model.name: model for model in listed({}.get, {"ANTHROPIC_API_KEY": "k"})}
    assert names["anthropic/claude-opus-4-6"].key == "ANTHROPIC_API_KEY"
    assert {model.provider for model in names.values()} == {"anthropic"}
    assert list(listed({}.get, {})) == []


def test_open_model_gives_the_client_of_the_dialect() -> None:
    settings = Settings(
        endpoints={"a": Endpoint(base_url="http://x", dialect="anthropic"), "o": Endpoint(base_url="http://x")}
    )
    assert isinstance(open_model("a/x", settings, {}.get), AnthropicMessages)
    assert isinstance(open_model("o/x", settings, {}.get), OpenAIChat)


@pytest.mark.parametrize("key", ["sk-abc\nsk-def", "sk-“abc”", "sk\x00a"])
def test_a_key_pasted_wrongly_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError, match="characters that no key has") as caught:
        find("openai/gpt-5", OPENAI_API_KEY=key)
    assert "sk" not in str(caught.value)


def test_blanks_around_a_key_are_taken_off() -> None:
    assert resolve("openai/gpt-5", Settings(), {"openai": " sk-1\n"}.get, {}).secret.reveal() == "sk-1"


def test_a_resolved_model_does_not_show_its_key() -> None:
    assert "k-123456" not in repr(find("openai/gpt-5", **KEYS))


def test_opening_a_model_loads_no_client_library() -> None:
    code = """
import sys
from letta_code.config.settings import Settings, Endpoint
from letta_code.llm.connect import open_model
import letta_code.llm.retry
settings = Settings(endpoints={"me": Endpoint(base_url="http://127.0.0.1:1/v1")})
model = open_model("me/gpt-5", settings, lambda name: None)
assert model.info.window > 1000
heavy = {"httpx", "litellm", "openai", "tiktoken", "yaml", "email", "pydantic", "random", "dataclasses"}
print(sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
