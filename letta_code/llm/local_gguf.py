"""What a GGUF file says of itself: read from its first bytes, without loading the model."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from letta_code.core.errors import ConfigError
from letta_code.core.messages import Value
from letta_code.host.files import open_regular

# Value types of the GGUF format (version 2 and 3): struct codes by number; 8 is a string, 9 an array.
_CODES = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST = 16 * 1024 * 1024  # bytes of header that are read at most
_LONGEST = 1024 * 1024  # bytes of one key or text


class GgufFacts(Value):
    """`name` as the file calls itself, `window` the tokens it was trained for (0: not said), `architecture`."""

    name: str = ""
    architecture: str = ""
    window: int = 0


class _Torn(Exception):
    """The header ends too early, or is larger than any should be."""


def read_facts(path: Path) -> GgufFacts:
    """The facts of a model file; raises `ConfigError` when it is none."""
    try:
        with open_regular(path) as file:
            return _facts(file, path)
    except OSError as error:
        said = f"The model {path} cannot be read: {error.strerror or error}."
        raise ConfigError(
            said, hint="--model local/PATH.gguf takes a path, relative to the working directory."
        ) from error
    except (_Torn, struct.error, UnicodeDecodeError) as error:
        raise ConfigError(f"The model {path} is cut off or damaged.", hint="Download it again.") from error


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a model does."""
    with open_regular(path) as file:
        return file.read(4) == b"GGUF"


def _facts(file: BinaryIO, path: Path) -> GgufFacts:
    if file.read(4) != b"GGUF":
        raise ConfigError(f"{path} is no GGUF model.", hint="Models of llama.cpp end in .gguf.")
    version, _, count = struct.unpack("<IQQ", _take(file, 20))
    if version not in (2, 3):
        raise ConfigError(f"{path} has GGUF version {version}.", hint="Versions 2 and 3 can be read.")
    texts: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for _ in range(count):
        key = _text(file)
        if key.startswith("tokenizer."):
            break  # hundreds of thousands of words; what is asked for stands before them
        (kind,) = struct.unpack("<I", _take(file, 4))
        if kind == _STRING:
            texts[key] = _text(file)
        elif kind == _ARRAY:
            _skip_array(file)
        else:
            numbers[key] = int(_number(file, kind))
    architecture = texts.get("general.architecture", "")
    return GgufFacts(
        name=texts.get("general.name", ""),
        architecture=architecture,
        window=max(numbers.get(f"{architecture}.context_length", 0), 0),
    )


def _take(file: BinaryIO, length: int) -> bytes:
    data = file.read(length) if file.tell() + length <= _MOST else b""
    if len(data) < length:
        raise _Torn
    return data


def _text(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _take(file, 8))
    if length > _LONGEST:
        raise _Torn
    return _take(file, length).decode("utf-8")


def _number(file: BinaryIO, kind: int) -> float:
    code = _CODES.get(kind)
    if code is None:
        raise _Torn
    (value,) = struct.unpack(f"<{code}", _take(file, struct.calcsize(code)))
    # A float may be infinite, which no whole number is; none of those we want is a float.
    return 0 if code in "fd" else value


def _skip_array(file: BinaryIO) -> None:
    kind, count = struct.unpack("<IQ", _take(file, 12))
    if kind == _STRING:
        for _ in range(count):
            _text(file)
    elif kind in _CODES:
        size = struct.calcsize(_CODES[kind]) * count
        if file.tell() + size > _MOST:
            raise _Torn
        file.seek(size, 1)
    else:
        raise _Torn
