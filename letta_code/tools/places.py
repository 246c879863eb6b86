"""Places as tools name them: the judged handle of a path, and paths that a model can hand to another tool."""

from __future__ import annotations

import os

from letta_code.core.errors import ToolError
from letta_code.safety.operations import ReadOperation
from letta_code.tools.base import ToolContext, Wanted
from letta_code.workspace.workspace import Handle, Workspace


def judged(ctx: ToolContext, path: str) -> Handle:
    """The handle that the policy judged for this path; nothing else may be touched."""
    handle = ctx.handles.get(path)
    if handle is None:
        raise ToolError(f"{path} was not judged; make the call again.")
    return handle


def to_read(handle: Handle) -> Wanted:
    """Reading, listing or searching one place."""
    return Wanted(ReadOperation(path=handle.path, inside=handle.inside, file_kind=handle.kind), handle)


def named(handle: Handle, workspace: Workspace) -> str:
    """A place for the model: relative to the work tree (`.` for itself) inside it, else absolute."""
    return os.path.relpath(handle.path, workspace.capabilities.root) if handle.inside else handle.path


def below(folder: str, name: str) -> str:
    """A name found below a folder, as a path from where the folder's name counts."""
    return name if folder == "." else os.path.join(folder, name)
