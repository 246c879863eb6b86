"""Faults that can be planted in the edit tools, to see that the torture finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from letta_code.tools import edit, write
from letta_code.tools.text import coding, files, patching, replace


def _no_endings(text: str, start: int, end: int, new: str) -> str:
    return new


def _first_place(content: str, old: str, new: str, *, every: bool) -> replace.Places:
    places = replace.find(content, old, new, every=every)
    return replace.Places(spans=places.spans[:1], literal=places.literal)


def _no_mark(self: coding.Coding, text: str, encode: Any = coding.Coding.encode) -> bytes:
    return encode(self, text)[len(self.bom) :]


def _newline_added(content: str, spans: Any) -> str:
    changed = replace.apply(content, spans)
    return changed if changed.endswith(("\n", "\r")) else changed + "\n"


def _stripped_search(content: str, old: str, new: str, *, every: bool) -> replace.Places:
    return replace.find(content, old.strip() or old, new, every=every)


def _all_unified(text: str) -> str:
    return "\n"


def _all_lf(old: Any, endings: Any, new: Any, surroundings: Any) -> list[str]:
    return ["\n"] * len(new)


def _known(ctx: Any, handle: Any) -> str | None:
    import hashlib

    return hashlib.sha256(open(handle.raw, "rb").read()).hexdigest()


FAULTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "endings": (replace, "with_endings", _no_endings),
    "first-place": (edit, "find", _first_place),
    "mark": (coding.Coding, "encode", _no_mark),
    "final-newline": (edit, "apply", _newline_added),
    "stripped": (edit, "find", _stripped_search),
    "stale": (files, "known_sha", _known),
    "write-endings": (write, "dominant", _all_unified),
    "patch-endings": (patching, "fit", _all_lf),
}


@contextmanager
def planted(name: str) -> Iterator[None]:
    """The fault in place while the context lasts; "" plants none."""
    if not name:
        yield
        return
    place, attribute, fault = FAULTS[name]
    right = getattr(place, attribute)
    setattr(place, attribute, fault)
    try:
        yield
    finally:
        setattr(place, attribute, right)
