"""Run commands that print gigabytes through the Bash tool and measure memory, disk and time; exits 1 over a limit.

The peak is that of this process (VmHWM, set back before each command), which holds the tool, the workspace and the
spool; the launcher never sees output.  Limits: 64 MB over the start, a spool of at most 50 MB, both ends right.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from letta_code.core.display import ShellBlock  # noqa: E402 - the checkout, not an installed copy
from letta_code.core.messages import text_of  # noqa: E402
from letta_code.host.output import Output  # noqa: E402
from letta_code.tools.bash import Bash  # noqa: E402
from letta_code.workspace.local import LocalWorkspace  # noqa: E402
from tests.tools.context import FakeContext  # noqa: E402

MEMORY_LIMIT = 64_000_000
SPOOL_LIMIT = 50_000_100  # and the line between its halves

KINDS = {
    "short lines": "yes 'a line of output that is like many others' | head -c {size}; echo; echo END",
    "one endless line": "head -c {size} /dev/zero | tr '\\0' x; echo; echo END",
    "binary": "head -c {size} /dev/zero; echo; echo END",
}


def peak() -> int:
    """The most memory that was resident since the last `forget`, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("this measurement needs Linux (/proc/self/status)")


def forget() -> int:
    """Set the peak back to what is resident now; returns that."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


async def measure(context: FakeContext, kind: str, size: int) -> bool:
    """Run one command; prints a line and says whether it kept the limits."""
    command = KINDS[kind].format(size=size)
    before = forget()
    began = time.monotonic()
    result = await context.call(Bash(), command=command, timeout=600)
    seconds = time.monotonic() - began
    cost = peak() - before
    text = text_of(result.content)
    block = result.blocks[0]
    assert isinstance(block, ShellBlock)
    spool = os.path.getsize(block.full_output)
    live = sum(len(part) for part in context.printed)
    context.printed.clear()
    good = cost <= MEMORY_LIMIT and spool <= SPOOL_LIMIT and "END" in text[-200:]
    print(
        f"{kind:18} {size / 1e9:.1f} GB in {seconds:5.1f} s   memory +{cost / 1e6:4.1f} MB   spool {spool / 1e6:.1f} MB"
        f"   model {len(text):,} characters   live {live:,}   {'ok' if good else 'FAILED'}",
        flush=True,
    )
    return good


async def main(gigabytes: float) -> int:
    """All kinds; 1 when one broke a limit."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = LocalWorkspace(folder, os.path.join(folder, "temp"))
        context = FakeContext(workspace)
        await context.call(Bash(), command="seq 1 100000")  # everything is imported and warm
        context.printed.clear()
        results = [await measure(context, kind, int(gigabytes * 1e9)) for kind in KINDS]
        await workspace.close()
    return 0 if all(results) else 1


def _hoard() -> None:
    """All output is kept in memory."""
    add, hoard = Output.add, list[bytes]()

    def hoarding(self: Output, data: bytes) -> None:
        hoard.append(bytes(data))
        add(self, data)

    Output.add = hoarding


PLANTS = {"hoard": _hoard}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gigabytes", nargs="?", type=float, default=3.0, help="printed by each of the commands (3)")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="run with a fault, to see that it is found")
    options = parser.parse_args()
    if options.plant:
        PLANTS[options.plant]()
    sys.exit(asyncio.run(main(options.gigabytes)))
