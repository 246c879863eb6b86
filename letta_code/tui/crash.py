"""Crash: what the terminal shows, and the log keeps, when the screen had to end because of a bug in it."""

from __future__ import annotations

import logging
import traceback

from rich.text import Text

from letta_code.agent.redaction import secrets_of
from letta_code.config.paths import Paths
from letta_code.safety.terminal import visible

log = logging.getLogger(__name__)


def told_of(error: BaseException) -> Text:
    """The trace without any variable's value and without secrets, and what to do next; the log gets it too.

    Textual's own shows the values of local variables: a conversation's text, a prompt, keys.
    """
    clean = secrets_of(Paths.find()).clean  # the words of an error may quote anything
    trace = clean("".join(traceback.format_exception(error)))
    log.error("The screen ended: %s", trace)
    words = clean(f"{type(error).__name__}: {error}")
    return Text(
        f"{visible(trace)}\n"
        f"This is a bug in letta-code: {visible(words)}\n"
        "What was said is kept: letta-code --continue goes on with it; the log has the lines above."
    )
