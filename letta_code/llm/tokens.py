"""How many tokens a text is: exact offline once the vocabulary is loaded, characters / 4 until then."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from letta_code.llm.prices import litellm_folder

if TYPE_CHECKING:
    import tiktoken

# For models whose own tokenizer is not public: as near as any other, and half of o200k_base's cost
# (0.18 s and 32 MB against 0.31 s and 68 MB).
_DEFAULT = "cl100k_base"
_VOCABULARIES = "litellm_core_utils/tokenizers"  # the litellm wheel bundles cl100k_base, o200k_base and p50k_base
_PIECE = 100_000  # characters at a time: the tokenizer's regular expression takes more stack the longer the text

_loading = threading.Lock()
_loaded: dict[str, tiktoken.Encoding] = {}


class TokenCounter:
    """Counts tokens.  Exact for OpenAI's models, near for others; a provider's own `usage` goes before it.

    `encoding` is a `ModelInfo.encoding`: a tiktoken encoding or "" for the default.
    """

    def __init__(self, encoding: str = "") -> None:
        self._name = encoding or _DEFAULT
        self._encoding: tiktoken.Encoding | None = _loaded.get(self._name)
        self._warmed = False
        self._thread: threading.Thread | None = None
        self._choosing = threading.Lock()  # over name, encoding and thread together

    @property
    def exact(self) -> bool:
        """Whether the vocabulary is loaded; characters / 4 are counted as long as it is not."""
        return self._encoding is not None

    def use(self, encoding: str) -> None:
        """Count by another encoding ("" for the default) from now on; may be called from any thread.

        `exact` is False until it is loaded, which a counter that was warmed before does by itself, in a thread.
        """
        name = encoding or _DEFAULT
        with self._choosing:
            if name == self._name:
                return
            self._name = name
            self._encoding = _loaded.get(name)
            self._thread = None
            if self._warmed:
                self._begin()

    def count(self, text: str) -> int:
        """The tokens of a text, 0 for an empty one."""
        encoding = self._encoding
        if encoding is None:
            return (len(text) + 3) // 4
        if len(text) <= _PIECE:
            return len(encoding.encode_ordinary(text))
        pieces = (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
        return sum(len(encoding.encode_ordinary(piece)) for piece in pieces)

    def warm(self) -> None:
        """Load the vocabulary in a thread; returns at once, and does nothing the second time.

        Costs memory (see above): not for a one-shot run, which ends before it would pay.
        """
        with self._choosing:
            self._warmed = True
            self._begin()

    def _begin(self) -> None:
        if self._encoding is None and self._thread is None:
            self._thread = threading.Thread(target=self.load, name="tokens", daemon=True)
            self._thread.start()

    def load(self) -> bool:
        """Load the vocabulary now; False when it cannot be had (then counts stay characters / 4)."""
        name = self._name
        with _loading:
            encoding = _loaded.get(name) or _load(name)
            if encoding is None:
                return False
            _loaded[name] = encoding
        with self._choosing:
            if name == self._name:  # else another one was chosen meanwhile, and is loaded by its own thread
                self._encoding = encoding
        return True


def _load(name: str) -> tiktoken.Encoding | None:
    """Read a vocabulary from the litellm wheel, without importing litellm and without network.

    tiktoken takes the folder from the environment alone; it is put back, since commands that the agent runs inherit it.
    A folder that the person set is of use only where the wheel's is missing: tiktoken would download what it lacks.
    """
    folder = litellm_folder()
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    if folder is not None and (folder / _VOCABULARIES).is_dir():
        os.environ["TIKTOKEN_CACHE_DIR"] = str(folder / _VOCABULARIES)
    elif before is None:
        return None
    try:
        import tiktoken

        return tiktoken.get_encoding(name)
    except (ImportError, OSError, ValueError):  # not there, not readable (requests' errors are OSErrors), unknown name
        return None
    finally:
        if before is None:
            os.environ.pop("TIKTOKEN_CACHE_DIR", None)
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before
