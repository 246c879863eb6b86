"""Jupyter notebooks as text: cells with their outputs, shortened."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from letta_code.tools.text.coding import visible

OUTPUT_LIMIT = 2_000  # characters of one output
PAGE_LIMIT = 50_000  # characters of the whole


class _Notebook(msgspec.Struct):
    cells: list[dict[str, Any]]
    metadata: dict[str, Any] = {}


def rendered(content: str) -> str | None:
    """The cells of a notebook's JSON, None when it is no notebook that we understand (nbformat 4)."""
    try:
        notebook = msgspec.json.decode(content, type=_Notebook)
    except (msgspec.MsgspecError, RecursionError):
        return None
    parts: list[str] = []
    room = PAGE_LIMIT
    for number, cell in enumerate(notebook.cells, 1):
        text = visible("\n".join(_cell(number, cell)))
        room -= len(text) + 1
        if room < 0:
            parts.append(
                f"[cells {number}-{len(notebook.cells)} left out: page through the JSON with offset and limit]"
            )
            break
        parts.append(text)
    return "\n".join(parts) or "(no cells)"


def _cell(number: int, cell: dict[str, Any]) -> Iterator[str]:
    yield f"[cell {number}, {cell.get('cell_type', 'unknown')}]"
    yield _text(cell.get("source"))
    outputs = cell.get("outputs")
    if not isinstance(outputs, list):
        return
    for output in outputs:  # pyright: ignore[reportUnknownVariableType] - JSON
        if isinstance(output, dict):
            yield "[output] " + _shortened(_output(output))  # pyright: ignore[reportUnknownArgumentType] - JSON


def _output(output: dict[str, Any]) -> str:
    if output.get("output_type") == "stream":
        return _text(output.get("text"))
    if output.get("output_type") == "error":
        return f"{output.get('ename', 'Error')}: {output.get('evalue', '')}"
    data: Any = output.get("data")
    if not isinstance(data, dict):
        return "(empty)"
    kinds: dict[str, Any] = {str(kind): value for kind, value in data.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    if "text/plain" in kinds:
        pictures = [kind for kind in kinds if kind.startswith("image/")]
        return _text(kinds["text/plain"]) + "".join(f" ({kind})" for kind in pictures)
    return ", ".join(kinds) or "(empty)"


def _text(source: Any) -> str:
    """nbformat keeps a text as one string or as a list of lines with their endings."""
    if isinstance(source, list):
        return "".join(str(line) for line in source)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] - JSON
    return str(source or "")


def _shortened(text: str) -> str:
    text = text.rstrip("\n")
    if len(text) <= OUTPUT_LIMIT:
        return text
    half = OUTPUT_LIMIT // 2
    return f"{text[:half]}\n[…{len(text) - OUTPUT_LIMIT:,} characters left out]\n{text[-half:]}"
