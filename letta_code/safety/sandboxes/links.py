"""Links: protected names that are links cannot be covered, so they are put back when a command replaced them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from letta_code.safety.sandboxes import beneath
from letta_code.safety.terminal import visible


class Link(NamedTuple):
    """Where a link led, and the folder it stood in: what is there by the folder's name later may be another one."""

    target: str
    folder: beneath.Identity


def links(paths: Iterable[str]) -> dict[str, Link]:
    """Those of the paths that are links now."""
    found: dict[str, Link] = {}
    for path in paths:
        if os.path.islink(path):
            with suppress(OSError), beneath.parent(path) as (folder, name):
                found[path] = Link(os.readlink(name, dir_fd=folder), beneath.identity(folder))
    return found


def put_back(before: Mapping[str, Link]) -> Iterator[str]:
    """Make links that were replaced again, and set aside what took their place; what is to be told."""
    for path, link in before.items():
        shown = visible(path)
        try:
            with beneath.parent(path) as (folder, name):
                if beneath.identity(folder) != link.folder:
                    yield f"{shown} is protected, and its folder was replaced by another one; nothing was changed there"
                    continue
                with suppress(OSError):
                    if os.readlink(name, dir_fd=folder) == link.target:
                        continue
                aside = beneath.set_aside(folder, name) if beneath.exists(folder, name) else ""
                os.symlink(link.target, name, dir_fd=folder)
        except OSError as error:
            yield f"{shown} is protected and was changed or moved; it could not be put back: {error.strerror}"
            continue
        rest = f"; what stood there is now {visible(f'{os.path.dirname(path)}/{aside}')}" if aside else ""
        yield f"{shown} is protected and was put back{rest}"
