"""Reasons: what a question says of a command: what it needs, the weightiest first, and what a yes gives."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

from letta_code.core.counts import many
from letta_code.safety.containment import Grant

if TYPE_CHECKING:
    from letta_code.safety.needs import Need

# What a person must not miss comes first.
WEIGHTS = ("destroys", "secret", "outside", "writes", "network", "hooks", "repository", "other")
MOST = 3  # sentences
_MOST_OF_ONE = 4  # things that one sentence names
_WHOLE_LINE = "Everything in this line would then run outside the sandbox, with all of your rights."


def in_words(needs: Iterable[Need]) -> list[str]:
    """Sentences about needs in their order; needs of the same kind are one, and what is left out is counted."""
    merged: dict[str, list[str]] = {}
    lasting: set[str] = set()  # a yes to hooks holds for later commands too: it must not stand behind a number
    for need in needs:
        if need.kind == "hooks":
            lasting.add(need.says)
        abouts = merged.setdefault(need.says, [])
        if need.about and need.about not in abouts:
            abouts.append(need.about)
    said = [says for at, says in enumerate(merged) if at < MOST or says in lasting]
    left = len(merged) - len(said)
    more = [f"And {many(left, 'more reason')}."] if left else []
    return [*(_sentence(says, merged[says]) for says in said), *more]


def _sentence(says: str, abouts: list[str]) -> str:
    if not abouts:
        return f"{says}."
    more = f" and {len(abouts) - _MOST_OF_ONE} more" if len(abouts) > _MOST_OF_ONE else ""
    return f"{says}: {', '.join(abouts[:_MOST_OF_ONE])}{more}."


def gives(grant: Grant, *, several: bool) -> str:
    """What a yes gives beyond the sandbox, where the reasons alone do not say it; "" where they do.

    `several`: more than one command stands in the line, and each of them gets it.
    """
    if grant.outside:
        return _WHOLE_LINE if several else ""
    can: list[str] = []
    if grant.network == "open":
        can.append("would have your whole network (not only the web through a proxy)")
    elif grant.network == "proxy":
        can.append("would have the web (through a proxy)")
    if grant.logins:
        can.append(f"could read your git{' and ssh' if grant.network == 'open' else ''} credentials")
        if grant.hooks:
            can[-1] += " (the repository's own hooks, which would run with it, too)"
    telling = several or grant.logins or grant.network == "open"
    if grant.git and several:
        can.append("could change the repository (not its configuration or hooks)")
    if several:
        can += [f"could read {path}" for path in grant.reads]
        can += [f"could change {_named(path)}" for path in grant.writes]
    if not can or not telling:
        return ""
    listed = can[0] if len(can) == 1 else f"{', '.join(can[:-1])} and {can[-1]}"
    return f"{'All of this line' if several else 'It'} {listed}."


def _named(path: str) -> str:
    return f"all of {path}/" if os.path.isdir(path) else path
