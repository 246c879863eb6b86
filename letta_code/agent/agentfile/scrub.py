"""Scrub: texts on their way out, without what looks like a key or password and without the keys that we hold."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec

from letta_code.safety.secrets import secret_reason, without_secrets

_SHORTEST = 8  # characters of a known key: a shorter one would be found in words
_ENDINGS = (".md", ".json")  # of names that lost the rest
_OWN = "[removed: a key of this home]"


class Scrub:
    """Takes secrets out of texts; `removed` counts them.  `known` are keys that must not leave in whatever form."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self.removed = 0
        self._paths: dict[str, str] = {}
        self.known = sorted({key for key in known if len(key) >= _SHORTEST}, key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without secrets."""
        for key in self.known:
            if key in text:
                self.removed += text.count(key)
                text = text.replace(key, _OWN)
        text, count = without_secrets(text)
        self.removed += count
        return text

    def path(self, path: str) -> str:
        """A path without secrets in its names: it stays a path, and the same one the same."""
        whole = "/".join(self._name(name) for name in path.split("/"))
        return whole if not self._found(whole) else self._numbered(path)

    def _name(self, name: str) -> str:
        return self._numbered(name) if self._found(name) else name

    def _found(self, text: str) -> bool:
        return any(key in text for key in self.known) or bool(secret_reason(text))

    def _numbered(self, name: str) -> str:
        if name not in self._paths:
            self.removed += 1
            ending = name[name.rfind(".") :]
            self._paths[name] = f"removed-{len(self._paths) + 1}{ending if ending in _ENDINGS else ''}"
        return self._paths[name]

    def json(self, raw: bytes) -> bytes:
        """A JSON text without secrets in its strings; the very same bytes when it held none."""
        before = self.removed
        try:
            value = self._walked(msgspec.json.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return msgspec.json.encode(self.text(raw.decode("utf-8", "replace")))
        return raw if self.removed == before else msgspec.json.encode(value)

    def _walked(self, value: Any) -> Any:
        match value:
            case str():
                return self._string(value)
            case list():
                return [self._walked(item) for item in cast("list[Any]", value)]
            case dict():
                return {self.text(name): self._walked(item) for name, item in cast("dict[str, Any]", value).items()}
            case _:
                return value

    def _string(self, text: str) -> str:
        # A call's arguments are JSON within JSON: there an escape such as \n stands before a key's first letter.
        if text[:1] in ("{", "[") and "\\" in text:
            return self.json(text.encode("utf-8", "replace")).decode() if _is_json(text) else self.text(text)
        return self.text(text)


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True
