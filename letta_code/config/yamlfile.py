"""YAML files that a person edits: read without trust, with the line of every key, so that a mistake can be named."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import msgspec

from letta_code.config.subset import read_subset
from letta_code.core.messages import Value

# A settings file is a page of text; reading more than this would only make a broken file slow as well.
LARGEST = 256 * 1024


class BadFile(Exception):
    """The file is not what it should be; `line` is 0 where no line can be named."""

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line


class Document(Value):
    """A mapping read from a file; `lines` gives the line of each dotted key."""

    data: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    lines: dict[str, int] = msgspec.field(default_factory=dict[str, int])


def read_document(path: Path) -> Document:
    """The file's mapping; an empty or missing file is an empty mapping.  Raises `BadFile`."""
    raw = read_regular(path)
    if not raw.strip():
        return Document()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadFile("is not UTF-8 text", raw[: error.start].count(b"\n") + 1) from error
    return parse_document(text)


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file, b"" when it is missing; never waits on a FIFO or device.  Raises `BadFile`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return b""
    except (OSError, ValueError) as error:
        raise BadFile(f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise BadFile("is not a regular file")
        if found.st_size > LARGEST:
            raise BadFile(f"is larger than {LARGEST // 1024} KB")
        return os.read(descriptor, LARGEST)
    except OSError as error:
        raise BadFile(f"cannot be read: {error.strerror or error}") from error
    finally:
        os.close(descriptor)


def parse_document(text: str) -> Document:
    """A YAML mapping with text keys.  Raises `BadFile`."""
    plain = read_subset(text)
    return _parse_with_library(text) if plain is None else Document(data=plain[0], lines=plain[1])


def _parse_with_library(text: str) -> Document:
    import yaml

    # The pure Python loader: the C one may overflow its stack on deep nesting, which no `except` catches.
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return Document()
        data: Any = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise BadFile(f"is not valid YAML: {error.problem or error}", mark.line + 1 if mark else 0) from error
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise BadFile(f"is not valid YAML: {error.reason}", line) from error
    except RecursionError as error:
        raise BadFile("is nested too deep") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError, KeyError) as error:
        # PyYAML lets some bad scalars (a date of month 99, a number of 5,000 digits) out as plain errors.
        raise BadFile(f"holds a value that cannot be read: {_short(str(error))}") from error
    if not isinstance(data, dict):
        raise BadFile(f"should be a list of `name: value` lines, and is {_named(data)}", node.start_mark.line + 1)
    lines: dict[str, int] = {}
    _collect_lines(node, "", lines, 0)
    return Document(data={str(key): value for key, value in data.items()}, lines=lines)


def _collect_lines(node: Any, prefix: str, lines: dict[str, int], depth: int) -> None:
    if depth > 4:  # settings are three deep at most; an alias to itself would never end
        return
    for key, value in node.value:
        if not isinstance(key.value, str):
            continue
        path = f"{prefix}{key.value}"
        lines[path] = key.start_mark.line + 1
        if value.id == "mapping":
            _collect_lines(value, f"{path}.", lines, depth + 1)


def _named(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    return "a single value"


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:119] + "…"


def safe_name(text: str) -> str:
    """A key or value of a file for the screen: control characters escaped, at most 60 characters."""
    shown = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text[:60])
    return shown if len(text) <= 60 else shown + "…"
