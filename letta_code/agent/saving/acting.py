"""Acting: what a backup brings that does something by itself: settings and hooks of git, settings that allow more."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from letta_code.agent.saving.archive import Manifest
from letta_code.agent.saving.opened import read_some
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.config.yamlfile import BadFile, Document, parse_document, read_document
from letta_code.host.files import atomic_write, read_bounded
from letta_code.host.memory_git import CONFIG
from letta_code.safety.terminal import visible

CONFIG_FILE = "config.yaml"
_RULES = "rules.json"
# What a repository of ours is made of; whatever else git knows may name programs, or lead to other places.
_KEPT = ("HEAD", "config", "packed-refs", "index", "shallow", "objects", "refs", "logs", "letta")
_CHECKPOINT_GIT = ("config", "info/attributes")  # made by us with one content each, and read by git
_LONGEST = 300  # characters of a setting that are shown
_LARGEST = 1 << 20


def make_plain(staged: Path) -> None:
    """Give the repositories of an unpacked backup our own settings, and take out what else git would act on."""
    for memory in (*staged.glob("agents/*/memory"), staged / "shared" / "memory"):
        for path in _acting_in(memory):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        if (memory / ".git").is_dir():
            atomic_write(memory / ".git" / "config", CONFIG, durable=False)
    for store in staged.glob("checkpoints/*"):
        for name in (*_CHECKPOINT_GIT, "hooks", "objects/info/alternates", "objects/info/http-alternates"):
            if (store / name).is_dir():
                shutil.rmtree(store / name)
            else:
                (store / name).unlink(missing_ok=True)
        (store / "HEAD").unlink(missing_ok=True)  # its next use writes all three as they are to be


def _acting_in(memory: Path) -> Iterator[Path]:
    git = memory / ".git"
    for path in git.iterdir() if git.is_dir() else ():
        if path.name == "info":
            yield from (one for one in path.iterdir() if one.name != "exclude")
        elif path.name not in _KEPT:
            yield path
    for name in ("alternates", "http-alternates"):
        if os.path.lexists(git / "objects" / "info" / name):
            yield git / "objects" / "info" / name
    for folder, folders, files in os.walk(memory):
        nested = [name for name in (*folders, *files) if name.lower() == ".git" and Path(folder) != memory]
        folders[:] = [name for name in folders if name.lower() != ".git"]
        yield from (Path(folder, name) for name in nested)


def left_out(manifest: Manifest) -> list[str]:
    """The files of a backup that `make_plain` would not leave as they are, for the person."""
    ours = hashlib.sha256(CONFIG).hexdigest()
    found: list[str] = []
    for name, entry in sorted(manifest.files.items()):
        words = name.split("/")
        depth = 2 if words[0] == "agents" else 1
        if words[0] not in ("agents", "shared") or words[depth : depth + 1] != ["memory"]:
            continue
        inner = words[depth + 1 :]
        if ".git" not in [word.lower() for word in inner]:
            continue
        if inner[0] == ".git" and not _acts("/".join(inner[1:]), entry.sha256 == ours):
            continue
        found.append(name)
    return found


def _acts(name: str, ours: bool) -> bool:
    top = name.partition("/")[0]
    if top == "config":
        return not ours
    if top == "info":
        return name != "info/exclude"
    return top not in _KEPT or name in ("objects/info/alternates", "objects/info/http-alternates")


def other_git(manifest: Manifest) -> list[str]:
    """Settings and hooks of other repositories in a backup, such as a skill's; they come as they are."""
    names = (name for name in sorted(manifest.files) if name.partition("/")[0] in ("skills", "prompts", "projects"))
    return [name for name in names if "/.git/config" in name.lower() or "/.git/hooks/" in name.lower()]


# ---------------------------------------------------------------- settings


def loosened(paths: Paths, source: Path, manifest: Manifest) -> dict[str, tuple[str, ...]]:
    """The parts of a backup that would let the agent do more than now → what would change, in words.

    Those are the mode, endpoints (where keys and conversations are sent) and rules.
    """
    rules = [name for name in manifest.files if name.startswith("projects/") and name.endswith(f"/{_RULES}")]
    wanted = [name for name in (CONFIG_FILE, *rules) if name in manifest.files]
    found: dict[str, tuple[str, ...]] = {}
    for name, data in read_some(source, wanted, _LARGEST).items():
        if name == CONFIG_FILE:
            told = tuple(_settings(_read(paths.config), _parsed(data)))
        else:
            told = _rules(paths.home / name, name, data)
        if told:
            found[name if name == CONFIG_FILE else name.rpartition("/")[0]] = told
    return found


def _read(path: Path) -> Document:
    try:
        return read_document(path)
    except BadFile:
        return Document()


def _parsed(data: bytes) -> Document:
    try:
        return parse_document(data.decode("utf-8-sig", "replace"))
    except BadFile:
        return Document()  # nothing of it would be used


def _settings(now: Document, coming: Document) -> Iterator[str]:
    default = Settings().mode
    old, new = now.data.get("mode", default), coming.data.get("mode", default)
    if new != old:
        yield f"mode: {_shown(new)} (now: {_shown(old)})"
    there = _mapping(now.data.get("endpoints"))
    for name, endpoint in _mapping(coming.data.get("endpoints")).items():
        if endpoint != there.get(name):
            yield f"endpoints.{_shown(name)}: {_shown(endpoint)} (now: {_shown(there.get(name, 'none'))})"
    yield from (f"allow: {rule} (new)" for rule in _added(now.data.get("allow"), coming.data.get("allow")))
    for kind in ("ask", "deny"):
        yield from (f"{kind}: {rule} (would go)" for rule in _added(coming.data.get(kind), now.data.get(kind)))


def _rules(path: Path, name: str, data: bytes) -> tuple[str, ...]:
    try:
        same = read_bounded(path, _LARGEST) == data
    except OSError:
        same = False
    return () if same else (f"{name}: {_shown(data.decode('utf-8', 'replace'))}",)


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _added(old: object, new: object) -> Iterable[str]:
    known = [_shown(one) for one in _list(old)]
    return [rule for rule in map(_shown, _list(new)) if rule not in known]


def _list(value: object) -> list[object]:
    if value is None:
        return []
    return cast("list[object]", value) if isinstance(value, list) else [value]


def _shown(value: object) -> str:
    text = " ".join(visible(str(value)).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
