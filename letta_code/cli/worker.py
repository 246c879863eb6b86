"""Go on with a run without a face; started by letta-code itself, which says on stdin with which."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import msgspec

from letta_code.core.errors import UsageError
from letta_code.host.detached import keep_ready_private

_MOST = 4 * 1024 * 1024


def run(argv: Sequence[str]) -> int:
    """Read the job and do it."""
    keep_ready_private()
    from letta_code.agent.background import Job
    from letta_code.headless.worker import run as work

    if argv or os.isatty(0):
        raise UsageError("This is no command for people.", hint='Use: letta-code run --background "PROMPT"')
    try:
        job = msgspec.json.decode(sys.stdin.buffer.read(_MOST), type=Job)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"The job was not understood: {error}.") from error
    return work(job)
