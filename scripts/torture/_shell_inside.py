"""Runs texts with bash, one after the other, and tells which canaries each of them ran; inside a throw-away sandbox.

stdin: JSON strings, a line each.  stdout: for each a JSON list of the canaries.  The argument is the folder to work in.
"""

from __future__ import annotations

import contextlib
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
LOOKS = 0.01  # seconds between two looks at how many processes there are
MOST = 60  # processes of one text
# Nothing but our processes is in this PID namespace: then this one is among the first of it.
PRIVATE = os.environ.get("SHELL_PRIVATE") == "1" and os.getpid() < 10


def main() -> int:
    """Run them all."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SUBREAPER, 1, 0, 0, 0)
    base = Path(sys.argv[1])
    hits, work = base / "hits", base / "w"
    hits.mkdir(exist_ok=True)
    for line in sys.stdin:
        prepare(work)
        _run(json.loads(line), work, base)
        found = sorted(path.name for path in hits.iterdir())
        for name in found:
            (hits / name).unlink()
        print(json.dumps(found), flush=True)
    return 0


def prepare(work: Path) -> None:
    """The folder as each text finds it."""
    shutil.rmtree(work, ignore_errors=True)
    (work / "sub").mkdir(parents=True)
    (work / "f").write_text("1\n", encoding="utf-8")
    (work / "list").write_text("canary\n", encoding="utf-8")


def _run(text: str, work: Path, base: Path) -> None:
    environment = {
        "PATH": os.environ["SHELL_PATH"], "HOME": str(work), "TMPDIR": str(base), "LANG": "C.UTF-8", "TERM": "dumb",
    }  # fmt: skip
    process = subprocess.Popen(
        ["/bin/bash", "-c", text], cwd=work, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True, close_fds=True,
    )  # fmt: skip
    _wait_for_all(process.pid)
    process.poll()


def _wait_for_all(group: int) -> None:
    """Wait for every process that the text started; those that stay, or become many (a fork bomb), are ended."""
    began = looked = time.monotonic()
    while True:
        try:
            found, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if found:
            continue
        now = time.monotonic()
        if now - looked > LOOKS:
            looked = now
            if now - began > SECONDS or len(_others()) > MOST:
                _end(group)
        time.sleep(0.0005)


def _others() -> list[int]:
    """Processes of this sandbox but this one and its first; without a sandbox, of the same user's sessions below us."""
    if PRIVATE:
        return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) not in {1, os.getpid()}]
    parents: dict[int, int] = {}
    for name in os.listdir("/proc") if os.path.isdir("/proc") else ():
        try:
            fields = Path(f"/proc/{name}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            parents[int(name)] = int(fields[1])
        except (OSError, ValueError):
            continue
    found: list[int] = [os.getpid()]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _end(group: int) -> None:
    """End what a text left: in a PID namespace of our own all at once, so that nothing can fork away."""
    if PRIVATE:
        os.kill(-1, signal.SIGKILL)
        return
    for pid in _others():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
