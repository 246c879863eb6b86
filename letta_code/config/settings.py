"""Settings: every value a person can set, with its default and who may set it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from letta_code.core.messages import Value

# `project`: may a project's own .letta/config.yaml set it?  never | tighten (only to the stricter) | any
NEVER = msgspec.Meta(extra={"project": "never"})
TIGHTEN = msgspec.Meta(extra={"project": "tighten"})
ANY = msgspec.Meta(extra={"project": "any"})


class Endpoint(Value):
    """A place that serves models.

    `dialect` is openai (chat completions), anthropic (messages) or litellm; `key_env` names the environment variable
    with the key, the key itself is in credentials.yaml under the endpoint's name.  `first_part_seconds` is how long the
    first part of an answer may take (0: no limit; None: the default, 300 s, none on loopback).
    """

    base_url: str = ""
    dialect: str = "openai"
    key_env: str = ""
    headers: dict[str, str] = {}
    first_part_seconds: float | None = None
    window: int = 0
    max_output: int = 0
    edit_family: str = ""


class ContextSettings(Value):
    """How much context is used."""

    compact_at_tokens: int = 40_000


class FaceSettings(Value):
    """How the screen looks and behaves."""

    theme: str = "textual-dark"
    mouse: bool = True
    bell: bool = True


class Settings(Value):
    """All settings, layered: defaults < ~/.letta/config.yaml < project .letta/config.yaml < env LETTA_* < flags."""

    model: Annotated[str, NEVER] = ""
    agent: Annotated[str, NEVER] = ""
    mode: Annotated[str, NEVER] = "ask"
    endpoints: Annotated[dict[str, Endpoint], NEVER] = {}
    allow: Annotated[tuple[str, ...], NEVER] = ()
    ask: Annotated[tuple[str, ...], TIGHTEN] = ()
    deny: Annotated[tuple[str, ...], TIGHTEN] = ()
    max_turns: Annotated[int, TIGHTEN] = 0  # 0: no limit
    time_limit: Annotated[float, TIGHTEN] = 0.0  # seconds, 0: no limit
    retry_seconds: Annotated[float, ANY] = 600.0
    shell_timeout: Annotated[float, ANY] = 120.0
    context: Annotated[ContextSettings, ANY] = ContextSettings()
    face: Annotated[FaceSettings, ANY] = FaceSettings()


def field_rule(name: str) -> str:
    """Who may set a field: never, tighten or any, for a project's file."""
    for field in msgspec.structs.fields(Settings):
        if field.name == name:
            info: Any = msgspec.inspect.type_info(field.type)
            return str((getattr(info, "extra", None) or {}).get("project", "never"))
    return "never"
