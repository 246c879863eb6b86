"""Folder trust: looks what of a folder has power, and keeps what the person said of it, a private file a project."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec.structs import replace

from letta_code.agent.facts import project_root
from letta_code.agent.port import SessionOptions
from letta_code.config.paths import PROJECT_FOLDER, Paths
from letta_code.core.errors import ConfigError
from letta_code.core.events import Notice
from letta_code.host.files import read_bounded
from letta_code.safety.trust import (
    FILES,
    FOLDERS,
    INSTRUCTION,
    INSTRUCTIONS,
    NEVER_READ,
    Consent,
    Power,
    Standing,
    consent_to,
    judge,
)

CONSENT = "trust.json"
MOST_FILES = 2000  # of one folder such as .letta/skills; what is beyond is not pinned, and not used
MOST_BYTES = 32 << 20
_HEAD_LINES, _HEAD_WIDTH = 40, 400
_LARGEST_CONSENT = 16 << 20


class TrustQuestion(Protocol):
    """What a face asks before it opens anything in a folder; both methods block for a few ms."""

    def standing(self) -> Standing:
        """What there is to be trusted."""
        ...

    def answer(self, *, trusted: bool) -> tuple[SessionOptions, tuple[Notice, ...]]:
        """Keep the answer; how the session is opened then, and what is to be told."""
        ...


def look(cwd: str | Path, paths: Paths) -> Standing:
    """How the folder stands now.  About 0.2 ms where nothing in it has power, else the time to hash that."""
    real = os.path.realpath(cwd)
    root = os.path.realpath(project_root(real))
    powers = survey(cwd, root, paths)
    texts = tuple(_texts(_folders(real, root), root, os.path.realpath(paths.home)))
    if not powers and not texts:  # no consent is looked for
        return Standing(root=root, trusted=True)
    consent, notices = read(root, paths)
    standing = judge(root, powers, _as_it_wrote(consent), texts)
    return replace(standing, unread=tuple(_there(_folders(real, root), NEVER_READ, root)), notices=notices)


def _texts(folders: Sequence[str], root: str, home: str) -> Iterator[Power]:
    """The texts that agent/facts.py would read, without reading them; those of letta-code's home are the person's."""
    for folder in folders:
        for name in INSTRUCTIONS:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and folder != home:
                yield Power(path=os.path.relpath(path, root), kind=INSTRUCTION)


def to_show(standing: Standing) -> Standing:
    """The same with the first lines of its texts, for the person who is asked.  Reads them."""
    room = [MOST_BYTES]
    root = standing.root
    read_ = (power_of(os.path.join(root, one.path), root, INSTRUCTION, room) for one in standing.instructions)
    return replace(standing, instructions=tuple(read_))


def wrote(path: str, cwd: str | Path, paths: Paths) -> None:
    """The agent made a text of instructions in a folder that the person was not asked about: it is the person's own.

    `path` is absolute and real.  Raises `ConfigError` when that cannot be kept.
    """
    if os.path.basename(path) not in INSTRUCTIONS:
        return
    root = os.path.realpath(project_root(os.path.realpath(cwd)))
    before, _ = read(root, paths)
    consent = before or Consent(root=root)
    if consent.trusted is not False and not consent.texts:
        keep(replace(consent, wrote={**consent.wrote, os.path.relpath(path, root): _hash_of(path)}), paths)


def _as_it_wrote(consent: Consent | None) -> Consent | None:
    """The answer without texts of the agent that are not as it made them: they are somebody else's now."""
    if consent is None or not consent.wrote:
        return consent
    same = {
        name: sha for name, sha in consent.wrote.items() if sha and _hash_of(os.path.join(consent.root, name)) == sha
    }
    return replace(consent, wrote=same)


def _hash_of(path: str) -> str:
    from hashlib import sha256

    try:
        return sha256(read_bounded(Path(path), MOST_BYTES)).hexdigest()
    except OSError:
        return ""


def mark_of(powers: Sequence[Power]) -> str:
    """One digest of all that was trusted, for a process that goes on with the same run."""
    from hashlib import sha256

    text = "\n".join(f"{power.sha256} {power.path}" for power in sorted(powers, key=lambda power: power.path))
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def still(mark: str, cwd: str | Path, paths: Paths) -> Standing:
    """How a folder stands for a process that goes on: trusted as its starter was, while nothing has changed."""
    looked = look(cwd, paths)
    if not looked.trusted and mark and mark == mark_of(looked.pinned):
        return replace(looked, trusted=True)
    return looked


# ---------------------------------------------------------------- what there is


def survey(cwd: str | Path, root: str, paths: Paths) -> tuple[Power, ...]:
    """Everything of power, from the project's top to the folder worked in."""
    found: list[Power] = []
    room = [MOST_BYTES]
    own = {os.path.realpath(paths.home), os.path.realpath(os.path.expanduser(f"~/{PROJECT_FOLDER}"))}
    for folder in _folders(os.path.realpath(cwd), root):
        mine = os.path.realpath(os.path.join(folder, PROJECT_FOLDER)) in own
        for name, kind in FILES.items():
            path = os.path.join(folder, name)
            if os.path.lexists(path) and not (mine and name.startswith(PROJECT_FOLDER)):
                found.append(power_of(path, root, kind, room))
        for name, kind in FOLDERS.items():
            path = os.path.join(folder, name)
            if os.path.lexists(path) and not mine:
                found += (power_of(one, root, kind, room) for one in _below(path))
    return tuple(found)


def _folders(cwd: str, root: str) -> list[str]:
    folders = [cwd]
    while folders[-1] != root and (parent := os.path.dirname(folders[-1])) != folders[-1]:
        folders.append(parent)
    return folders[::-1] if folders[-1] == root else [cwd]


def _below(path: str) -> Iterator[str]:
    """Files of a folder, in a fixed order; a link to a folder is one entry, since what is in it is somebody else's."""
    if not os.path.isdir(path):
        yield path
        return
    count = 0
    for folder, inner, files in os.walk(path):
        inner.sort()
        links = [name for name in inner if os.path.islink(os.path.join(folder, name))]
        for name in sorted([*files, *links]):
            yield os.path.join(folder, name)
            count += 1
            if count == MOST_FILES:
                yield os.path.join(path, "…")  # what is beyond: there is no such file, so nothing pins it
                return


def power_of(path: str, root: str, kind: str, room: list[int]) -> Power:
    """One file, read once: what is shown is what is hashed.  `room` is how many bytes may still be read of all."""
    from hashlib import sha256

    from letta_code.host.files import read_bounded

    name = os.path.relpath(path, root)
    try:
        data = read_bounded(Path(path), room[0])
    except (OSError, ValueError):
        return Power(path=name, kind=kind)
    room[0] -= len(data)
    lines = data.decode("utf-8", "replace").splitlines()
    ignored: tuple[str, ...] = ()
    if kind == "settings":
        ignored, lines = _usable(lines)
    head = tuple(line[:_HEAD_WIDTH] for line in lines[:_HEAD_LINES])
    digests = tuple(sha256(line.encode("utf-8", "replace")).hexdigest()[:8] for line in head)
    whole = sha256(data).hexdigest()
    rest = max(len(lines) - _HEAD_LINES, 0)
    return Power(path=name, kind=kind, sha256=whole, head=head, lines=digests, rest=rest, ignored=ignored)


def _usable(lines: list[str]) -> tuple[tuple[str, ...], list[str]]:
    """Names of settings that no project's file may set, or that there are not; and the lines without theirs.

    Only lines that are theirs for certain are left out: one that begins with the name, and what is indented below.
    """
    from letta_code.config.layers import field_kinds
    from letta_code.config.settings import Settings, field_rule
    from letta_code.config.yamlfile import BadFile, parse_document

    try:
        keys = list(parse_document("\n".join(lines).removeprefix("\ufeff")).data)
    except BadFile:  # nothing of it is used, and that is told by whoever reads it
        return (), lines
    known = field_kinds(Settings)
    ignored = tuple(key for key in keys if key not in known or field_rule(key) == "never")
    starts = tuple(f"{key}:" for key in ignored)
    kept: list[str] = []
    below = False
    for line in lines:
        below = line.startswith(starts) or (below and (not line.strip() or line[0] in " \t-]}"))
        if not below:
            kept.append(line)
        elif "&" in line:  # an anchor: another setting may take its value from here
            return ignored, lines
    return ignored, kept


def _there(folders: Sequence[str], wanted: Sequence[str], root: str) -> Iterator[str]:
    for folder in folders:
        for name in wanted:
            if os.path.lexists(os.path.join(folder, name)):
                yield os.path.relpath(os.path.join(folder, name), root)


# ---------------------------------------------------------------- what was said


def consent_file(root: str, paths: Paths) -> Path:
    """Where the answer about a project is kept."""
    from letta_code.safety.remembered import project_key

    return paths.projects / project_key(root) / CONSENT


def read(root: str, paths: Paths) -> tuple[Consent | None, tuple[Notice, ...]]:
    """The last answer; a file that is damaged or another folder's gives none, is kept aside, and that is told."""
    from letta_code.host.files import read_bounded

    path = consent_file(root, paths)
    try:
        consent = msgspec.json.decode(read_bounded(path, _LARGEST_CONSENT), type=Consent, strict=True)
    except FileNotFoundError:
        return None, ()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        return None, (_aside(path, f"cannot be read ({_why(error)}), so nothing of this folder is trusted"),)
    if consent.root != root:
        return None, (_aside(path, "is about another folder, so nothing of this one is trusted"),)
    return consent, ()


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or "it is damaged"


def _aside(path: Path, words: str) -> Notice:
    """Move a file away that says nothing certain, so that it is told once; what it held can still be read."""
    aside = path.with_name(f"{path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 1000:03d}")
    try:
        path.rename(aside)
        text = f"{path} {words}; it is kept as {aside}."
    except OSError as error:
        text = f"{path} {words}; it could not be moved aside ({error.strerror or error})."
    return Notice(level="warning", code="trust", text=text, hint="Answer once more, or: letta-code trust")


def answer(standing: Standing, paths: Paths, *, trusted: bool) -> None:
    """Keep what the person said of what they were shown.  Raises `ConfigError` when it cannot be kept."""
    before, _ = read(standing.root, paths)
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    keep(consent_to(standing, trusted=trusted, before=before, at=at), paths)


def keep(consent: Consent, paths: Paths) -> None:
    """Write an answer, whole and readable by its owner only.  Raises `ConfigError`."""
    from letta_code.host.files import atomic_write

    path = consent_file(consent.root, paths)
    try:
        paths.folder(path.parent.parent)
        paths.folder(path.parent)
        data = msgspec.json.format(msgspec.json.encode(consent), indent=1) + b"\n"
        atomic_write(path, data, mode=0o600, follow=False)
    except OSError as error:
        raise ConfigError(
            f"What you said of {consent.root} cannot be kept in {path}: {error.strerror or error}.",
            hint="See that the folder is yours and the disk is not full; --trust holds for one start.",
        ) from error


def forget(root: str, paths: Paths) -> bool:
    """Take the answer about a folder back; False when there is none.  Raises `ConfigError`."""
    path = consent_file(root, paths)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"{path} cannot be removed: {error.strerror or error}.") from error
    return True


def answers(paths: Paths) -> list[Consent]:
    """Every folder that was answered about, by path; damaged files are passed over here and told where they count."""
    from letta_code.host.files import read_bounded

    found: list[Consent] = []
    for path in sorted(paths.projects.glob(f"*/{CONSENT}")):
        try:
            found.append(msgspec.json.decode(read_bounded(path, _LARGEST_CONSENT), type=Consent))
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
    return sorted(found, key=lambda one: one.root)
