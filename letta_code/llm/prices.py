"""Windows and prices of models: the table inside the litellm wheel, read as data; litellm is not imported."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import msgspec

_TABLE = "model_prices_and_context_window_backup.json"


class Entry(msgspec.Struct, frozen=True):
    """What the table says of one model; numbers may be missing, or text where litellm's authors wrote a sentence."""

    litellm_provider: str | None = None
    mode: str | None = None
    max_input_tokens: float | str | None = None
    max_output_tokens: float | str | None = None
    max_tokens: float | str | None = None
    input_cost_per_token: float | str | None = None
    output_cost_per_token: float | str | None = None
    cache_read_input_token_cost: float | str | None = None
    cache_creation_input_token_cost: float | str | None = None
    supports_vision: bool | None = None
    supports_function_calling: bool | None = None


def litellm_folder() -> Path | None:
    """Where the litellm package lies; None when it is not installed.  Locates, does not import."""
    spec = importlib.util.find_spec("litellm")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(spec.submodule_search_locations[0])


@functools.cache
def table() -> dict[str, Entry]:
    """All models by litellm's names, about 3,900; read once, in about 6 ms.  Empty when it cannot be read."""
    folder = litellm_folder()
    if folder is None:
        return {}
    try:
        entries = msgspec.json.decode((folder / _TABLE).read_bytes(), type=dict[str, Entry])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return {}  # prices are a convenience: without the table everything else works
    entries.pop("sample_spec", None)
    return entries


def number(value: float | str | None) -> float | None:
    """A number of the table, None where it is missing or not a number."""
    return None if isinstance(value, str) else value


def tokens(value: float | str | None) -> int:
    """A count of the table, 0 where it is missing."""
    return int(number(value) or 0)
