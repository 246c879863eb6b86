"""Front matter: a block as the text of its Markdown file, and back; nothing in a file can make it unreadable."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from letta_code.core.messages import Value
from letta_code.memory.block import LARGEST_LIMIT, Block, clean_value, one_line

_FENCE = "---"
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_-]*):(?:[ \t]+(.*?))?[ \t]*")
# Plain scalars that mean the same text to every YAML reader.
_PLAIN = re.compile(r"[A-Za-z(][^:#\n\"'\[\]{}]*[^:#\s\"'\[\]{}]|[A-Za-z]")
_NOT_TEXT = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_OURS = ("label", "description", "limit", "read_only")
_LARGEST_HEAD = 16_384  # characters; a longer front matter is no front matter


class Parsed(Value):
    """What a file says: `limit` is 0 where it names none, `extra` the other lines, `problem` what is wrong."""

    value: str
    description: str = ""
    limit: int = 0
    read_only: bool = False
    extra: tuple[str, ...] = ()
    problem: str = ""


def formatted(block: Block) -> bytes:
    """The file of a block."""
    label = block.label.rpartition("/")[2]
    lines = [_FENCE, f"label: {_scalar(label)}", f"description: {_scalar(one_line(block.description))}"]
    lines.append(f"limit: {block.limit}")
    if block.read_only:
        lines.append("read_only: true")
    lines += [*block.extra, _FENCE]
    text = "\n".join(lines) + "\n" + (f"\n{block.value}\n" if block.value else "")
    return text.encode("utf-8", "replace")


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return msgspec.json.encode(text).decode("utf-8")  # a JSON string is a YAML string


def parsed(data: bytes) -> Parsed:
    """What a block's file says; whatever cannot be understood is named in `problem` and the rest is read."""
    problems: list[str] = []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
        problems.append("the file is not UTF-8: signs that could not be read show as \ufffd")
    head, body = _split(text.replace("\r\n", "\n").replace("\r", "\n"))
    if head is None:
        if text.startswith(_FENCE):
            problems.append("the front matter has no end (a line `---`): all of the file is shown as the value")
        return Parsed(value=clean_value(body), problem="; ".join(problems))
    fields, extra = _fields(head, problems)
    return Parsed(
        value=clean_value(body),
        description=_text(fields.get("description")),
        limit=_limit(fields["limit"], problems) if "limit" in fields else 0,
        read_only=_flag(fields.get("read_only", False), problems),
        extra=extra,
        problem="; ".join(problems),
    )


def _split(text: str) -> tuple[list[str] | None, str]:
    """The lines between the fences and the text after them; None when there is no front matter."""
    lines = text.split("\n")
    if lines[0].rstrip() != _FENCE:
        return None, text
    size = 0
    for number, line in enumerate(lines[1:], start=1):
        if line.rstrip() == _FENCE:
            return lines[1:number], "\n".join(lines[number + 1 :])
        size += len(line)
        if size > _LARGEST_HEAD:
            break
    return None, text


def _fields(lines: list[str], problems: list[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Our fields, and the lines of all others."""
    fields: dict[str, Any] = {}
    extra: list[str] = []
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None or found[1] not in _OURS:
            extra.append(line)
            continue
        value = _simple(found[2] or "")
        if value is None:  # quotes, block texts, lists: what a person or another program wrote
            return _by_yaml(lines, problems)
        fields[found[1]] = value
    if any(line[:1] in (" ", "\t") for line in extra) and not _follows_other(lines):
        return _by_yaml(lines, problems)
    return fields, tuple(line for line in extra if line.strip())


def _follows_other(lines: list[str]) -> bool:
    """Whether every indented line belongs to a field that is not ours."""
    ours = False
    for line in lines:
        if line[:1] in (" ", "\t"):
            if ours:
                return False
        elif line.strip():
            ours = line.partition(":")[0] in _OURS
    return True


def _simple(text: str) -> str | None:
    if not text or _PLAIN.fullmatch(text) or text.isdecimal():
        return text
    if text.startswith('"'):
        try:
            return msgspec.json.decode(text, type=str)
        except msgspec.DecodeError:
            return None
    return None


def _by_yaml(lines: list[str], problems: list[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    from letta_code.config.yamlfile import BadFile, parse_document

    try:
        document = parse_document("\n".join(lines))
    except BadFile as error:
        where = f" (line {error.line + 1})" if error.line else ""
        problems.append(f"the front matter {error}{where}")
        return _readable(lines), tuple(line for line in lines if line.partition(":")[0] not in _OURS and line.strip())
    fields = {name: value for name, value in document.data.items() if name in _OURS}
    starts = sorted((line, name) for name, line in document.lines.items() if "." not in name)
    extra: list[str] = []
    for (start, name), (end, _) in zip(starts, [*starts[1:], (len(lines) + 1, "")], strict=True):
        if name not in _OURS:
            extra += [line for line in lines[start - 1 : end - 1] if line.strip()]
    return fields, tuple(extra)


def _readable(lines: list[str]) -> dict[str, Any]:
    """What can be told of broken YAML: the lines that are `name: value` for themselves."""
    found = (_LINE.fullmatch(line) for line in lines)
    return {match[1]: (match[2] or "").strip("\"'") for match in found if match and match[1] in _OURS}


def _text(value: object) -> str:
    return one_line(value if isinstance(value, str) else "" if value is None else str(value))


def _limit(value: object, problems: list[str]) -> int:
    text = str(value).replace("_", "").replace(",", "")
    if text.isdecimal() and 0 < int(text) <= LARGEST_LIMIT:
        return int(text)
    problems.append(f"limit is {one_line(str(value), 40)!r}, and should be a number up to {LARGEST_LIMIT}")
    return 0


def _flag(value: object, problems: list[str]) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text not in ("true", "false", "yes", "no", "on", "off"):
        problems.append(f"read_only is {one_line(str(value), 40)!r}, and should be true or false")
        return True  # whoever wrote something there wanted to protect the block
    return text in ("true", "yes", "on")
