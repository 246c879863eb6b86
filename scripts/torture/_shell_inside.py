"""Runs texts with bash, one after the other, and tells which canaries each of them ran; inside a throw-away sandbox.

stdin: JSON strings, a line each.  stdout: for each a JSON list of the canaries.  The argument is the folder to work in.
"""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER: what a text leaves running becomes our child, so that we can wait for it
SECONDS = 5.0  # for one text


def main() -> int:
    """Run them all."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    base = Path(sys.argv[1])
    hits, work = base / "hits", base / "w"
    hits.mkdir(exist_ok=True)
    for line in sys.stdin:
        _prepare(work)
        _run(json.loads(line), work, base)
        found = sorted(path.name for path in hits.iterdir())
        for name in found:
            (hits / name).unlink()
        print(json.dumps(found), flush=True)
    return 0


def _prepare(work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    (work / "sub").mkdir(parents=True)
    (work / "f").write_text("1\n", encoding="utf-8")
    (work / "list").write_text("canary\n", encoding="utf-8")


def _run(text: str, work: Path, base: Path) -> None:
    environment = {
        "PATH": os.environ["SHELL_PATH"], "HOME": str(work), "TMPDIR": str(base), "LANG": "C.UTF-8", "TERM": "dumb",
    }  # fmt: skip
    until = time.monotonic() + SECONDS
    process = subprocess.Popen(
        ["/bin/bash", "-c", text], cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, close_fds=True,
    )  # fmt: skip
    _wait_for_all(until)
    process.poll()


def _wait_for_all(until: float) -> None:
    """Wait for every process that the text started, and end those that stay."""
    while True:
        try:
            found, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if found:
            continue
        if time.monotonic() > until:
            _end_children()
        time.sleep(0.0005)


def _end_children() -> None:
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            fields = Path(f"/proc/{name}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            os.kill(int(name), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
