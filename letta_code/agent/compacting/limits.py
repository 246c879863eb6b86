"""Limits: at how many tokens a context is compacted, and what a provider's refusal teaches about that."""

from __future__ import annotations

import re

from letta_code.config.settings import ContextSettings
from letta_code.core.events import Notice
from letta_code.llm.model import ModelInfo

PRESSURE_SHARE = 0.75  # of the limit: then the model is told to save what matters
SHRINK = 0.8  # a compaction leaves at most this share of what was there, or it is not made
_UNKNOWN_SHARE = 0.8  # of what was refused, where the refusal names no number
_LEAST_ROOM = 500  # tokens that a message and its answer need beside the head
_SMALLEST = 512  # tokens; a smaller number in an error is no window

# Where providers put the size of the window into their words.
_NUMBER = r"([0-9][0-9,_]{2,})"
_WORDINGS = (  # compiled when a provider refuses: this module is on the start path
    rf"> *{_NUMBER}\b",
    rf"maximum (?:context|prompt|input) (?:length|size) (?:is|of)? *{_NUMBER}",
    rf"(?:context size|context length|context window|n_ctx)\D{{0,20}}{_NUMBER}",
    rf"(?:maximum|limit|at most|up to|max_seq_len)\D{{0,30}}{_NUMBER}",
    rf"{_NUMBER} *(?:tokens? )?(?:maximum|limit)",
)


class Limits:
    """The tokens at which the context of a session is compacted, by model."""

    def __init__(self, settings: ContextSettings) -> None:
        self._settings = settings
        self._learnt: dict[str, int] = {}
        self._warned = False

    def of(self, info: ModelInfo | None) -> int:
        """The limit with this model: the setting, a share of the window where it is known, what a refusal taught."""
        limit = self._settings.compact_at_tokens
        if info is None:
            return limit
        if info.window:
            limit = min(limit, int(info.window * self._settings.window_share))
        return min(limit, self._learnt.get(info.name, limit))

    def room(self, info: ModelInfo, sent: int) -> int:
        """Tokens that one request may have, by what is known; `sent` is what went through, where nothing is."""
        window = int(info.window * self._settings.window_share) or max(sent, self._settings.compact_at_tokens)
        return min(window, self._learnt.get(info.name, window))

    def too_small(self, info: ModelInfo, head: int) -> Notice | None:
        """Once a session: what a person should know of a window that a head of so many tokens leaves no room in."""
        if self._warned or not info.window or head + _LEAST_ROOM <= info.window:
            return None
        self._warned = True
        parts = f"the instructions, tools and memory ({head:,})"
        room = info.window - head
        return Notice(
            level="warning",
            text=(
                f"The window of {info.window:,} tokens does not hold {parts}: what is sent to {info.name} is longer "
                "than it takes."
                if room < 0
                else f"The window of {info.window:,} tokens is nearly full with {parts}: {room:,} are left."
            ),
            hint="Use a model (or start its server) with a larger window, or keep fewer and shorter memory blocks.",
            code="window",
        )

    def learn(self, info: ModelInfo, words: str, sent: int) -> int:
        """Take an overflow in: `sent` tokens, by our count, were too many.  Gives the limit from now on."""
        window = window_in(words)
        limit = int(sent * _UNKNOWN_SHARE)
        if window:
            limit = min(limit, int(window * self._settings.window_share))
        self._learnt[info.name] = min(limit, self.of(info))
        return self._learnt[info.name]


def window_in(words: str) -> int:
    """The window that an error names, in tokens; 0 where it names none."""
    for wording in _WORDINGS:
        for number in re.findall(wording, words, re.IGNORECASE):
            tokens = int(re.sub(r"[,_]", "", number))
            if tokens >= _SMALLEST:
                return tokens
    return 0
