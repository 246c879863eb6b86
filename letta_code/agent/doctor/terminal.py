"""Terminal: what the full screen needs of it."""

from __future__ import annotations

import locale
import os
import shutil
from collections.abc import Iterator

from letta_code.agent.doctor.base import Finding, Look, Telling, check

_said = Telling("terminal")
_NARROW, _LOW = 60, 15  # columns, lines


@check("terminal", 8)
def terminal(look: Look) -> Iterator[Finding]:
    """TERM, colours, size, signs, and what lies between (tmux, ssh)."""
    environ = look.environ
    yield from _kind(environ.get("TERM", ""), environ.get("COLORTERM", ""), environ.get("NO_COLOR", ""))
    if os.isatty(1):
        columns, lines = shutil.get_terminal_size()
        says = f"It has {columns} columns and {lines} lines."
        if columns < _NARROW or lines < _LOW:
            yield _said("size", "warning", says, "The full screen needs some 60 by 15.", "letta-code --plain")
        else:
            yield _said("size", "ok", says)
    coding = next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "")
    if "UTF-8" in coding.upper().replace("UTF8", "UTF-8") or locale.getpreferredencoding(False).upper() == "UTF-8":
        yield _said("signs", "ok", f"The locale takes every sign ({coding or 'UTF-8'}).")
    else:
        means = "Frames, arrows and names with accents show as question marks."
        yield _said("signs", "warning", f"The locale is {coding or 'not set'}.", means, "export LC_ALL=C.UTF-8")
    yield from _between(look)


def _kind(kind: str, colour: str, none: str) -> Iterator[Finding]:
    if not os.isatty(1):
        yield _said("terminal", "skipped", "The output goes to no terminal here, so its size was not looked at.")
    if kind in ("", "dumb", "unknown"):
        says = f"TERM is {kind or 'not set'}."
        yield _said("kind", "warning", says, "The full screen cannot be drawn.", "letta-code --plain")
        return
    if none:
        colours = "none (NO_COLOR)"
    elif colour in ("truecolor", "24bit"):
        colours = "all"
    else:
        colours = "256" if "256" in kind else "a few"
    yield _said("kind", "ok", f"TERM is {kind}; colours: {colours}.")


def _between(look: Look) -> Iterator[Finding]:
    tmux, ssh = bool(look.environ.get("TMUX")), bool(look.environ.get("SSH_TTY") or look.environ.get("SSH_CONNECTION"))
    if not (tmux or ssh):
        return
    where = " inside ".join(name for name, there in (("tmux", tmux), ("ssh", ssh)) if there)
    says = f"You are in {where}: what is copied reaches your clipboard only if the terminal takes OSC 52."
    mend = "tmux set -g set-clipboard on" if tmux else ""
    yield _said("clipboard", "ok", says, mend=mend)
