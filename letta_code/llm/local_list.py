"""Local models by name: those that can be pulled (local_models.json) and those that lie in the models folder."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

from letta_code.config.paths import Paths
from letta_code.core.errors import ConfigError, UsageError
from letta_code.core.messages import Value
from letta_code.host.files import read_bounded

_LARGEST_RECORD = 64 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SPLIT = re.compile(r"-\d{5}-of-\d{5}$")


class ListedFile(Value):
    """A model that can be pulled by its name.

    `sha256` is only there when we computed it ourselves from what this very address sent (else
    what the server announces is compared with and kept); `size` is in bytes (0: not known), `memory` what it takes to
    run; `tried` says whether anybody of us has loaded this very address.
    """

    name: str
    url: str
    size: int = 0
    sha256: str = ""
    memory: str = ""
    note: str = ""
    tried: bool = False


class Pulled(Value):
    """How a file came here, kept beside it as `<file>.json`: `checked` says what its SHA-256 was compared with."""

    url: str
    sha256: str
    size: int
    at: str
    checked: str


def listed_files() -> tuple[ListedFile, ...]:
    """The list that ships with letta-code."""
    return msgspec.json.decode(Path(__file__).with_name("local_models.json").read_bytes(), type=tuple[ListedFile, ...])


def models_folder(paths: Paths) -> Path:
    """Where pulled models are."""
    return paths.home / "models"


def find_model(name: str, paths: Paths) -> Path:
    """The file that `local/NAME` means: a path that ends in .gguf, or a pulled model.  Raises `ConfigError`."""
    if name.endswith(".gguf"):
        file = Path(os.path.abspath(os.path.expanduser(name)))
        if file.is_file():
            return file
        pulled = models_folder(paths) / name
        if "/" not in name and pulled.is_file():
            return pulled
        raise ConfigError(f"There is no model file {file}.", hint="`letta-code local list` shows those that are here.")
    file = models_folder(paths) / f"{name}.gguf"
    if _NAME.fullmatch(name) and file.is_file():
        return file
    if any(entry.name == name for entry in listed_files()):
        raise ConfigError(f"The model {name} is not here yet.", hint=f"Get it with: letta-code local pull {name}")
    raise ConfigError(
        f"There is no local model {name!r}.",
        hint="Give local/PATH.gguf, or a name of `letta-code local list`.",
    )


def to_pull(word: str) -> ListedFile:
    """What `local pull NAME|URL` means; a URL's model is named by its file.  Raises `UsageError`."""
    if not re.match(r"https?://", word):
        found = next((entry for entry in listed_files() if entry.name == word), None)
        if found is None:
            names = ", ".join(entry.name for entry in listed_files())
            raise UsageError(f"There is no model {word!r} in the list.", hint=f"It has {names}; or give an https URL.")
        return found
    last = re.sub(r"[?#].*", "", word).rstrip("/").rsplit("/", 1)[-1]
    name = last.removesuffix(".gguf")
    if not last.endswith(".gguf") or not _NAME.fullmatch(name):
        raise UsageError(
            f"{word} does not end in the name of a .gguf file.", hint="Give the address of the file itself."
        )
    if _SPLIT.search(name):
        raise UsageError(f"{last} is one part of a model in several files.", hint="Choose a model in a single file.")
    return ListedFile(name=name, url=word)


def pulled_models(paths: Paths) -> tuple[tuple[str, Path, Pulled | None], ...]:
    """The models in the folder: name, file, and how it came here (None: the person put it there)."""
    folder = models_folder(paths)
    files = sorted(folder.glob("*.gguf")) if folder.is_dir() else []
    return tuple((file.name.removesuffix(".gguf"), file, _record(file)) for file in files)


def record_of(file: Path) -> Path:
    """Where it is kept how a file came here."""
    return file.with_name(f"{file.name}.json")


def _record(file: Path) -> Pulled | None:
    try:
        return msgspec.json.decode(read_bounded(record_of(file), _LARGEST_RECORD), type=Pulled)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
