"""From a model's name to a model that can be asked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from letta_code.config.settings import Settings
from letta_code.llm.catalog import Credentials, ResolvedModel, resolve
from letta_code.llm.model import ChatModel


def open_model(
    name: str,
    settings: Settings,
    credential: Credentials,
    *,
    environ: Mapping[str, str] | None = None,
) -> ChatModel:
    """The model of that name, ready to be asked; nothing is sent yet.

    Raises `ConfigError` when the name, its endpoint or its key are wrong or missing, with what to do.  Client libraries
    are loaded at the first request; `warm` loads them earlier.
    """
    return client_of(resolve(name, settings, credential, environ))


def client_of(target: ResolvedModel) -> ChatModel:
    """The client that speaks a resolved model's dialect."""
    match target.dialect:
        case "openai":
            from letta_code.llm.openai_chat import OpenAIChat

            return OpenAIChat(target)
        case "anthropic":
            from letta_code.llm.anthropic_messages import AnthropicMessages

            return AnthropicMessages(target)
        case "scripted":
            from letta_code.llm.scripted import ScriptedModel, read_script

            return ScriptedModel(target.name, read_script(Path(target.wire_name).expanduser()))
        case "local":
            from letta_code.llm.local import open_local

            return open_local(target.wire_name)
        case _:
            from letta_code.llm.gateway import Gateway

            return Gateway(target)


def warm(model: ChatModel) -> None:
    """Load what the model's first request needs (httpx, certificates, litellm); blocks, so call it in a thread."""
    warming = getattr(model, "warm", None)
    if callable(warming):
        warming()
