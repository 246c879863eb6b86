"""Settings: every value a person can set, with its default and who may set it."""

from __future__ import annotations

import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from letta_code.config.paths import Paths, project_config
from letta_code.core.errors import ConfigError, UsageError
from letta_code.core.events import Notice
from letta_code.core.messages import Value

# `project`: may a project's own .letta/config.yaml set it?  never | tighten (only to the stricter) | any
NEVER = msgspec.Meta(extra={"project": "never"})
TIGHTEN = msgspec.Meta(extra={"project": "tighten"})
ANY = msgspec.Meta(extra={"project": "any"})
POSITIVE = msgspec.Meta(ge=0)

MODES = ("plan", "ask", "auto", "full")
DIALECTS = ("openai", "anthropic", "litellm")


class Endpoint(Value):
    """A place that serves models.

    `dialect` is openai (chat completions), anthropic (messages) or litellm; `key_env` names the environment variable
    with the key, the key itself is in credentials.yaml under the endpoint's name.  `first_part_seconds` is how long the
    first part of an answer may take (0: no limit; None: the default, 300 s, none on loopback).
    """

    base_url: str = ""
    dialect: str = "openai"
    key_env: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict[str, str])
    first_part_seconds: Annotated[float, POSITIVE] | None = None
    window: Annotated[int, POSITIVE] = 0
    max_output: Annotated[int, POSITIVE] = 0
    edit_family: str = ""


class ContextSettings(Value):
    """How much context is used: older messages are summarised at so many tokens, or at this share of the window."""

    compact_at_tokens: Annotated[int, msgspec.Meta(ge=1000)] = 40_000
    window_share: Annotated[float, msgspec.Meta(ge=0.3, le=0.95)] = 0.9


class ReflectionSettings(Value):
    """When a conversation is read again behind the scenes to bring memory up to date, and what that may cost.

    `every_turns` counts what the person said (0: never for that reason); `merge` is ask (all of it waits for a yes) or
    auto: what takes a person's lines or much text away waits, and, once the conversation holds more than the person's
    and the agent's words (results of commands, files, the web; attachments), every change of what all conversations of
    the agent are shown: persona, human and other blocks of scope agent, and descriptions of files.  `budget_tokens`
    bounds input and output of one reflection together; `model` is "" for the conversation's; `headless` does it in runs
    without a person too, whose exit waits for it then.
    """

    after_compaction: bool = True
    every_turns: Annotated[int, POSITIVE] = 0
    merge: Literal["auto", "ask"] = "auto"
    budget_tokens: Annotated[int, msgspec.Meta(ge=4000)] = 30_000
    model: str = ""
    headless: bool = False


class CheckpointSettings(Value):
    """Points to come back to: `auto` makes one before the first effect of a run and before commands that destroy.

    An effect waits `wait_seconds` for its files to be kept, then goes on without; those of a project are kept for
    `max_days` and up to `max_bytes`, the newest always.
    """

    auto: bool = True
    wait_seconds: Annotated[float, msgspec.Meta(ge=0.1)] = 20.0
    max_days: Annotated[float, msgspec.Meta(ge=1)] = 30.0
    max_bytes: Annotated[int, msgspec.Meta(ge=1_000_000)] = 2_000_000_000


class FaceSettings(Value):
    """How the screen looks and behaves."""

    theme: str = "textual-dark"
    mouse: bool = True
    bell: bool = True
    memory_pane: bool = True  # beside the transcript, where there is room


class GivenRule(Value):
    """A rule with its own examples, checked when it is loaded: commands, paths or hosts that it must or must not cover.

    In config.yaml `Bash(npm test *)` alone is a rule too.
    """

    rule: str
    match: tuple[str, ...] = ()
    not_match: tuple[str, ...] = ()


class Settings(Value):
    """All settings, layered: defaults < ~/.letta/config.yaml < project .letta/config.yaml < env LETTA_* < flags."""

    model: Annotated[str, NEVER] = ""
    agent: Annotated[str, NEVER] = ""
    mode: Annotated[str, NEVER] = "ask"
    endpoints: Annotated[dict[str, Endpoint], NEVER] = msgspec.field(default_factory=dict[str, Endpoint])
    allow: Annotated[tuple[str | GivenRule, ...], NEVER] = ()
    # How commands are confined: auto takes the best that works here; off means that every command is asked about.
    sandbox: Annotated[Literal["auto", "bubblewrap", "landlock", "seatbelt", "off"], NEVER] = "auto"
    ask: Annotated[tuple[str | GivenRule, ...], TIGHTEN] = ()
    deny: Annotated[tuple[str | GivenRule, ...], TIGHTEN] = ()
    max_turns: Annotated[int, TIGHTEN, POSITIVE] = 0  # 0: no limit
    time_limit: Annotated[float, TIGHTEN, POSITIVE] = 0.0  # seconds, 0: no limit
    retry_seconds: Annotated[float, ANY, POSITIVE] = 600.0
    context: Annotated[ContextSettings, ANY] = ContextSettings()
    reflection: Annotated[ReflectionSettings, NEVER] = ReflectionSettings()
    checkpoints: Annotated[CheckpointSettings, NEVER] = CheckpointSettings()
    face: Annotated[FaceSettings, ANY] = FaceSettings()
    # The terminal goes away while a run goes on: stop interrupts it, background lets it come to its end without a face.
    on_hangup: Annotated[Literal["stop", "background"], NEVER] = "stop"


class Loaded(Value):
    """The settings that hold, and what was not taken and why, for the person."""

    settings: Settings
    notices: tuple[Notice, ...] = ()


def field_rule(name: str) -> str:
    """Who may set a field: never, tighten or any, for a project's file."""
    kind = typing.get_type_hints(Settings, include_extras=True).get(name)
    for mark in getattr(kind, "__metadata__", ()):
        extra: Any = getattr(mark, "extra", None)
        if extra:
            return str(extra.get("project", "never"))
    return "never"


def load(
    cwd: str | Path,
    *,
    flags: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    paths: Paths | None = None,
    trusted: bool = False,
) -> Loaded:
    """The settings that hold in a folder: defaults, the person's file, the project's, the environment, the flags.

    A file that cannot be read, or one wrong value in it, costs that file or value and gives a notice; it never stops
    the start.  A project's file may only tighten while its folder is not `trusted`.  Raises `UsageError` for a wrong
    flag: somebody is there to correct it.
    """
    env = os.environ if env is None else env
    paths = paths or Paths.find(env)
    settings, notices = Settings(), []
    project = project_config(cwd, paths)
    if project is not None or os.path.lexists(paths.config):
        from letta_code.config import files

        settings, found = files.person_layer(settings, paths.config)
        notices += found
        if project is not None:
            settings, found = files.project_layer(settings, project, trusted=trusted)
            notices += found
    named = {name: text for name, text in env.items() if name.startswith("LETTA_")}
    if named:
        settings, found = _environment(settings, named)
        notices += found
    return Loaded(settings=_flags(settings, flags or {}), notices=tuple(notices))


def person_settings(paths: Paths) -> Settings:
    """The defaults and the person's own file as it is now, without project, environment and flags."""
    if not os.path.lexists(paths.config):
        return Settings()
    from letta_code.config import files

    return files.person_layer(Settings(), paths.config)[0]


def with_saved_endpoints(settings: Settings, paths: Paths) -> Settings:
    """The settings with the endpoints that stand in the person's file now: one may have been connected meanwhile."""
    saved = person_settings(paths).endpoints
    return msgspec.structs.replace(settings, endpoints={**settings.endpoints, **saved})


def _environment(settings: Settings, env: Mapping[str, str]) -> tuple[Settings, list[Notice]]:
    """LETTA_MODEL, LETTA_MAX_TURNS, LETTA_FACE_THEME …: one a field; rules are one a line.  Others are not ours."""
    values: dict[str, Any] = {}
    names: dict[str, str] = {}
    for field in Settings.__struct_fields__:
        default = getattr(settings, field)
        inner = default.__struct_fields__ if isinstance(default, Value) else ()
        for part in inner or ("",):
            name = "_".join(filter(None, ("LETTA", field, part))).upper()
            text = env.get(name)
            if not text or field == "endpoints":
                continue
            value: Any = tuple(filter(None, map(str.strip, text.splitlines()))) if isinstance(default, tuple) else text
            names[f"{field}.{part}".rstrip(".")] = name
            if part:
                values.setdefault(field, {})[part] = value
            else:
                values[field] = value
    if not values:
        return settings, []
    from letta_code.config.layers import overlay

    result, problems = overlay(settings, values, lax=True)
    notices = [_ignored(names.get(problem.key, problem.key), problem.text) for problem in problems]
    if result.mode not in MODES:
        notices.append(_ignored("LETTA_MODE", f"is none of {', '.join(MODES)}"))
        result = msgspec.structs.replace(result, mode=settings.mode)
    return result, notices


def _ignored(name: str, text: str) -> Notice:
    words = f"{name} {text}; it is not used."
    return Notice(level="warning", code="settings", text=words, hint="Correct it or unset it.")


def _flags(settings: Settings, flags: Mapping[str, Any]) -> Settings:
    """Rules on the command line are added to the others; every other flag replaces."""
    values = {name: value for name, value in flags.items() if value not in (None, "", ())}
    if not values:
        return settings
    for name in ("allow", "ask", "deny"):
        if name in values:
            values[name] = (*getattr(settings, name), *values[name])
    from letta_code.config.layers import overlay

    result, problems = overlay(settings, values)
    if problems:
        raise UsageError(f"--{problems[0].key.replace('_', '-')} {problems[0].text}.", hint="letta-code --help")
    if result.mode not in MODES:
        raise UsageError(f"There is no mode {result.mode!r}.", hint=f"The modes are {', '.join(MODES)}.")
    return result


def save_setting(paths: Paths, key: str | tuple[str, ...], value: Any) -> list[Notice]:
    """Set one key (`"model"`, `("endpoints", "mine")`) in the person's file; None removes it.

    Other keys stay, unknown ones too; comments stay where one top-level line is all that changes.  A file that cannot
    be read is kept beside it as `.corrupt-<time>` and named in the notices returned.  Raises `ConfigError` when the
    file cannot be written.
    """
    from letta_code.config import files

    try:
        return files.save(paths, key, value)
    except OSError as error:
        raise ConfigError(
            f"{paths.config} could not be written: {error.strerror or error}.",
            hint="See that the folder is yours and the disk is not full, then try again.",
        ) from error
