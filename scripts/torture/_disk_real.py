"""A real process on a real small filesystem that a ballast file fills during its run, and that gets room again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SIZE = "8m"
FULL_SECONDS = 3.0  # how long there is no room: three of the store's own retries
PATIENCE = 60.0


class Real(NamedTuple):
    """What came of it: on what kind of filesystem, what was seen, and what is wrong."""

    what: str
    lines: tuple[str, ...] = ()
    wrongs: tuple[str, ...] = ()


def fill_and_free(scratch: Path) -> Real:
    """Mount a tmpfs in a namespace of our own and run there; says loudly where that cannot be done."""
    mount = scratch / "small"
    mount.mkdir()
    inside = f'mount -t tmpfs -o size={SIZE} small "$1" && exec "$2" "$3" "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inside, "sh", str(mount)]
    try:
        done = subprocess.run(
            [*command, sys.executable, str(Path(__file__))],
            check=False,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Real(f"SKIPPED: no small filesystem could be mounted here ({error})")
    if not done.stdout.startswith("{"):
        return Real(f"SKIPPED: no small filesystem could be mounted here ({(done.stderr or done.stdout)[-300:]})")
    said = json.loads(done.stdout)
    return Real(f"tmpfs of {SIZE}", tuple(said["lines"]), tuple(said["wrongs"]))


class _Listener:
    """The lines of a process, with the time at which each came."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.lines: list[dict[str, Any]] = []
        self.last = time.monotonic()
        self._process = process
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self.lines.append(json.loads(line))
            self.last = time.monotonic()

    def wait_for(self, kind: str, count: int) -> bool:
        """Until so many events of a kind were told."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            if sum(line.get("type") == kind for line in self.lines) >= count:
                return True
            time.sleep(0.005)
        return False

    def end(self) -> None:
        self._thread.join(PATIENCE)


def _inside(mount: Path) -> dict[str, list[str]]:
    sys.path.insert(0, str(ROOT))
    from _disk_scenario import ALLOWED

    from tests.fakes.model_server import ModelServer

    home, work = mount / "home", mount / "work"
    work.mkdir()
    home.mkdir(mode=0o700)
    lines: list[str] = []
    wrongs: list[str] = []
    with ModelServer(_replies(), by_history=True) as server:
        config = f"endpoints:\n  torture:\n    base_url: {server.url}/v1\n    dialect: openai\n"
        (home / "config.yaml").write_text(config)
        process = _started(home, work)
        listener = _Listener(process)
        if not listener.wait_for("tool_result", 2):
            wrongs.append("the run did not begin")
        taken = _fill(mount)
        before = len([line for line in listener.lines if "seq" in line])
        time.sleep(FULL_SECONDS)
        paused = len([line for line in listener.lines if "seq" in line])
        alive = process.poll() is None
        told = [line for line in listener.lines if line.get("phase") == "storage"]
        (mount / "ballast").unlink()
        freed = time.monotonic()
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            code = process.wait()
            wrongs.append("the run hangs")
        listener.end()
        errors = process.stderr.read().decode(errors="replace") if process.stderr else ""
    lines.append(f"filled with a ballast of {taken:,} bytes after 2 results; full for {FULL_SECONDS:.0f} s")
    lines.append(f"events told while it was full: {paused - before}; waits for storage told: {len(told)}")
    lines.append(f"ended {time.monotonic() - freed:.1f} s after there was room, with code {code}")
    if not alive:
        wrongs.append(f"the process ended while the disk was full: {errors[-400:]}")
    if not told and "storage" not in errors and "room" not in errors:
        wrongs.append(f"nobody was told that there is no room: {errors[-200:]}")
    if code:
        wrongs.append(f"exit code {code}: {errors[-400:]}")
    for name, allowed in ALLOWED.items():
        if (work / name).exists() and (work / name).read_text() not in allowed:
            wrongs.append(f"{name} is half written")
    stored = _stored(home, listener.lines)
    lost = [line["seq"] for line in listener.lines if "seq" in line and stored.get(line["seq"]) != line]
    lines.append(f"events told: {sum('seq' in line for line in listener.lines)}, lost: {len(lost)}")
    if lost:
        wrongs.append(f"events {lost[:5]} were told and are not in the store")
    return {"lines": lines, "wrongs": wrongs}


def _stored(home: Path, lines: list[dict[str, Any]]) -> dict[int, Any]:
    """The events of the conversation that was told of, by seq."""
    from letta_code.safety.vault import Secrets
    from letta_code.store.database import Store

    name = next(line["conversation_id"] for line in lines if line.get("conversation_id"))
    with Store.open(home / "letta.db", run_dir=home / "run", redactor=Secrets()) as store:
        return {one.seq: json.loads(one.raw) for one in store.read(name)}


def _replies() -> tuple[Any, ...]:
    from _disk_scenario import script

    from tests.fakes.replies import Call, Reply

    replies = [
        Reply(
            text=turn["text"],
            tools=tuple(Call(one["name"], json.dumps(one["args"])) for one in turn.get("tools", ())),
            pause=0.001,
        )
        for turn in json.loads(script())["turns"]
    ]
    return (*replies, Reply(text="Nothing is left to do.", repeat=50))


def _started(home: Path, work: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "letta_code", "-p", "Do the task.", "--model", "torture/fake", "--mode", "full"]
    return subprocess.Popen(
        [*command, "--output-format", "stream-json"],
        cwd=work,
        env={**os.environ, "LETTA_HOME": str(home), "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _fill(mount: Path) -> int:
    """Take every byte that is free."""
    taken = 0
    with (mount / "ballast").open("wb", buffering=0) as ballast:
        for size in (1 << 16, 1 << 12, 512, 1):
            try:
                while True:
                    taken += ballast.write(bytes(size))
            except OSError:
                continue
    return taken


if __name__ == "__main__":
    print(json.dumps(_inside(Path(sys.argv[1]))))
