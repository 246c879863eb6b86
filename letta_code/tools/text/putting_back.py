"""Putting back: a placeholder of a secret becomes its value again, in the file that it came from and nowhere else."""

from __future__ import annotations

from typing import TypeVar

from letta_code.core.errors import ToolError
from letta_code.safety.secrets import PLACEHOLDER
from letta_code.safety.vault import Vault
from letta_code.tools.base import ToolContext
from letta_code.tools.text.coding import NotText, decode, shown
from letta_code.tools.text.files import visible_path
from letta_code.tools.text.patch import AddFile, UpdateFile
from letta_code.workspace.workspace import Handle

S = TypeVar("S", AddFile, UpdateFile)


def put_back(text: str, vault: Vault, handle: Handle, data: bytes) -> str:
    """A text for a file with the secrets in it that the file has or had when it was read; `data` is the file now.

    Raises `ToolError` for a placeholder of another file, and for one that stands for nothing here.
    """
    found = {*PLACEHOLDER.findall(text)}
    if not found:
        return text
    try:
        content = decode(data).content
    except NotText:
        content = ""
    for placeholder in found:
        if placeholder in content:  # the file itself writes about placeholders
            continue
        value = vault.value(placeholder)
        if value is None:
            raise ToolError(
                f"{placeholder} stands for nothing here: placeholders hold in one conversation, until it is left. "
                f"Nothing was written. Read {shown(handle.given)} again and use the placeholder that it shows now."
            )
        if not vault.is_from(placeholder, visible_path(handle)) and value not in content:
            raise ToolError(
                f"{placeholder} is a secret that was not read from {shown(handle.given)}: it is put back only into the "
                "file that it came from. Nothing was written. Refer to it another way (an environment variable, the "
                "file where it is kept), or ask the person to put it there."
            )
        text = text.replace(placeholder, value)
    return text


def hidden(text: str, ctx: ToolContext, handle: Handle) -> str:
    """What a file says, with placeholders for its secrets that Edit and Write put back into this file."""
    return ctx.vault.clean(text, visible_path(handle))


def section_put_back(section: S, vault: Vault, handle: Handle, data: bytes) -> S:
    """A patch's section with its secrets in it; see `put_back`."""
    from msgspec.structs import replace

    def back(text: str) -> str:
        return put_back(text, vault, handle, data)

    if isinstance(section, AddFile):
        return replace(section, lines=tuple(back(line) for line in section.lines))
    hunks = [
        replace(
            hunk,
            headers=tuple(back(line) for line in hunk.headers),
            lines=tuple((kind, back(line)) for kind, line in hunk.lines),
        )
        for hunk in section.hunks
    ]
    return replace(section, hunks=tuple(hunks))
