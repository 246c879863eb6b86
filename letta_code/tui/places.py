"""Places: the folder's git branch and its files, read in the core's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

FILES_LIMIT = 50_000


async def git_branch(cwd: str) -> str:
    """The branch with a `*` when something is not committed, `@commit` when detached, "" outside a repository."""
    from letta_code.host.git import GitReader

    status = await asyncio.to_thread(GitReader(cwd).status)
    if status is None or not (status.branch or status.commit):
        return ""
    return (status.branch or f"@{status.commit[:8]}") + ("*" if status.dirty else "")


async def list_files(cwd: str) -> Sequence[str]:
    """Files below a folder, relative, newest first; what git ignores is left out."""
    from letta_code.core.errors import WorkspaceError
    from letta_code.workspace.local import LocalWorkspace

    workspace = LocalWorkspace(cwd)
    try:
        handle = await workspace.resolve(".", "list")
        return (await workspace.walk(handle, limit=FILES_LIMIT)).paths
    except WorkspaceError:
        return ()  # nothing to offer; the person can still write the name
    finally:
        await workspace.close()
