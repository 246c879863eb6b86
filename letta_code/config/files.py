"""The settings files: the person's own, the project's (which may only tighten), and saving."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from letta_code.config.layers import field_kinds, overlay
from letta_code.config.paths import Paths
from letta_code.config.settings import DIALECTS, MODES, Settings, field_rule
from letta_code.config.yamlfile import BadFile, Document, parse_document, read_document, read_regular, safe_name
from letta_code.core.events import Notice

HEADER = "# Settings of letta-code."


def person_layer(settings: Settings, path: Path) -> tuple[Settings, list[Notice]]:
    """The settings with the person's file laid over them."""
    try:
        document = read_document(path)
    except BadFile as error:
        return settings, [_bad_file(path, error)]
    result, problems = overlay(settings, document.data)
    notices = [_problem(path, document, problem.key, problem.text) for problem in problems]
    return _checked(settings, result, path, document, notices), notices


def _checked(before: Settings, after: Settings, path: Path, document: Document, notices: list[Notice]) -> Settings:
    """Words that must be one of a few; `full` is for one start only, so no file may make it the rule."""
    if after.mode not in MODES:
        notices.append(_problem(path, document, "mode", f"is none of {', '.join(MODES)}"))
        after = msgspec.structs.replace(after, mode=before.mode)
    if after.mode == "full":
        notices.append(_problem(path, document, "mode", "`full` holds for one start only: letta-code --mode full"))
        after = msgspec.structs.replace(after, mode=before.mode)
    for name, endpoint in after.endpoints.items():
        if endpoint.dialect not in DIALECTS:
            notices.append(_problem(path, document, f"endpoints.{name}.dialect", f"is none of {', '.join(DIALECTS)}"))
            fixed = msgspec.structs.replace(endpoint, dialect=DIALECTS[0])
            after = msgspec.structs.replace(after, endpoints={**after.endpoints, name: fixed})
    return after


def project_layer(settings: Settings, path: Path, *, trusted: bool) -> tuple[Settings, list[Notice]]:
    """The settings with what a project's file may say.

    Whoever wrote the repository wrote this file: an endpoint or mode from it could send the person's key elsewhere or
    lift a question.  Rules are added, limits lowered; the rest waits until the folder is trusted, or is never taken.
    """
    try:
        document = read_document(path)
    except BadFile as error:
        return settings, [_bad_file(path, error)]
    taken: dict[str, Any] = {}
    notices: list[Notice] = []
    never: list[str] = []
    for key, value in document.data.items():
        rule = field_rule(key) if key in field_kinds(Settings) else "unknown"
        if rule in ("tighten", "unknown") or (rule == "any" and trusted):
            taken[key] = value
        elif rule == "any":
            waits = _refused(path, document, key, "is taken from a project's file once the folder is trusted")
            notices.append(msgspec.structs.replace(waits, code="trust", hint="letta-code trust"))
        else:
            never.append(key)
    if not trusted:  # what is wrong in a file that is not used is not worth a line each
        known = field_kinds(Settings)
        taken = {key: value for key, value in taken.items() if key in known}
    if len(never) > 1:  # one line: a file that tries them all must not fill the screen
        words = f"{path}: {', '.join(never)} are never taken from a project's file; they are ignored."
        notices.append(msgspec.structs.replace(_refused(path, document, "", ""), text=words))
    elif never:
        notices.append(_refused(path, document, never[0], "is never taken from a project's file"))
    wished, problems = overlay(settings, taken)
    notices += [_problem(path, document, problem.key, problem.text) for problem in problems]
    result = wished
    for key in taken:
        if key in field_kinds(Settings) and field_rule(key) == "tighten":
            stricter = _stricter(getattr(settings, key), getattr(wished, key))
            if stricter != getattr(wished, key) and not isinstance(stricter, tuple):
                notices.append(_refused(path, document, key, f"may only be lowered here; {stricter:g} stays"))
            result = msgspec.structs.replace(result, **{key: stricter})
    return result, notices


def _stricter(mine: Any, theirs: Any) -> Any:
    """Rules of both; of two limits the lower, where 0 is no limit."""
    if isinstance(mine, tuple):
        return tuple(dict.fromkeys((*mine, *theirs)))
    limits = [limit for limit in (mine, theirs) if limit]
    return min(limits) if limits else mine


def _bad_file(path: Path, error: BadFile) -> Notice:
    place = f"{path}:{error.line}" if error.line else str(path)
    return Notice(
        level="warning",
        code="settings",
        text=f"{place}: the file {error}; none of it is used.",
        hint="Correct it; until then its settings have their defaults.",
    )


def _problem(path: Path, document: Document, key: str, text: str) -> Notice:
    return Notice(
        level="warning",
        code="settings",
        text=f"{_place(path, document, key)}: {safe_name(key)} {text}; it is not used.",
        hint="Correct the line or remove it.",
    )


def _refused(path: Path, document: Document, key: str, text: str) -> Notice:
    return Notice(
        level="warning",
        code="project_settings",
        text=f"{_place(path, document, key)}: {safe_name(key)} {text}; it is ignored.",
        hint="Set it in your own config.yaml, or by a flag.",
    )


def _place(path: Path, document: Document, key: str) -> str:
    line = document.lines.get(key, 0)
    return f"{path}:{line}" if line else str(path)


# ---------------------------------------------------------------- saving


def save(paths: Paths, key: str | tuple[str, ...], value: Any) -> list[Notice]:
    """As `settings.save_setting`; raises `OSError`."""
    paths.ensure()
    parts = [key] if isinstance(key, str) else list(key)
    notices: list[Notice] = []
    text, data = "", {}
    try:
        text = read_regular(paths.config).decode("utf-8-sig", "replace")
        data = dict(read_document(paths.config).data)
    except BadFile as error:
        text = ""
        notices = [keep_aside(paths.config, error)]
    _put(data, parts, value)
    edited = _edited(text, parts, value, data)
    if edited is not None:
        _write(paths.config, edited)
        return notices
    if "#" in text.removeprefix(HEADER):  # a rewrite loses comments: somebody wrote them
        _write(paths.config.with_name("config.yaml.bak"), text)
    write_yaml(paths.config, data, header=HEADER)
    return notices


def _edited(text: str, parts: list[str], value: Any, wanted: Mapping[str, Any]) -> str | None:
    """The text with one line replaced or added, comments and all; None where that does not give `wanted`.

    The line is at the top level, or one below it.
    """
    if len(parts) > 2 or not isinstance(value, str | int | float) or not text.strip():
        return None
    line = f"{parts[-1]}: {msgspec.json.encode(value).decode()}"  # a JSON scalar is a YAML scalar
    lines = text.splitlines()
    found = [number for number, old in enumerate(lines) if old.startswith(f"{parts[0]}:")]
    if len(found) > 1:
        return None
    if len(parts) == 2:
        _set_below(lines, found[0] if found else -1, parts[0], line)
    elif found:
        lines[found[0]] = line
    else:
        lines.append(line)
    edited = "\n".join(lines) + "\n"
    try:
        return edited if parse_document(edited).data == wanted else None
    except BadFile:
        return None


def _set_below(lines: list[str], at: int, outer: str, line: str) -> None:
    """Replace or add a line below the one at `at` (-1: there is none yet), as deep as its neighbours are."""
    if at < 0:
        lines += [f"{outer}:", f"  {line}"]
        return
    inner = [n for n in range(at + 1, len(lines)) if lines[n].strip()]
    end = next((n for n in inner if not lines[n].startswith((" ", "#"))), len(lines))
    inner = [n for n in inner if n < end and not lines[n].lstrip().startswith("#")]
    depth = len(lines[inner[0]]) - len(lines[inner[0]].lstrip()) if inner else 2
    key = line.partition(":")[0]
    same = next((n for n in inner if lines[n].startswith(f"{' ' * depth}{key}:")), -1)
    if same >= 0:
        lines[same] = " " * depth + line
    else:
        lines.insert(at + 1, " " * depth + line)


def _put(data: dict[str, Any], parts: list[str], value: Any) -> None:
    *outer, last = parts
    for part in outer:
        inner = data.get(part)
        data[part] = dict(inner) if isinstance(inner, Mapping) else {}
        data = data[part]
    if value is None:
        data.pop(last, None)
    else:
        data[last] = value


def write_yaml(path: Path, data: Mapping[str, Any], *, header: str) -> None:
    """Write a mapping, whole or not at all, readable by its owner only."""
    import yaml

    text = yaml.safe_dump(dict(data), sort_keys=False, allow_unicode=True, default_flow_style=False)
    _write(path, f"{header}\n{text}")


def _write(path: Path, text: str) -> None:
    from letta_code.host.files import atomic_write

    atomic_write(path, text.encode(), mode=0o600)


def keep_aside(path: Path, error: BadFile) -> Notice:
    """Keep a file that cannot be read beside its place, under a name that says when, before it is written anew."""
    from letta_code.host.files import atomic_write

    aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1000:03d}")
    try:
        if path.is_symlink():  # what it leads to is not ours to write over
            raise BadFile("is a link")
        atomic_write(aside, read_regular(path), mode=0o600)
    except BadFile:
        path.rename(aside)  # a folder, a device, a link or something huge: moved, not read
    return Notice(
        level="warning",
        code="settings",
        text=f"{path}: the old file {error}; it is kept as {aside}.",
        hint="Take from it what you need.",
    )
