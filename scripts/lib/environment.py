"""Make the checkout's .venv/ from a lock: `environment.py runtime|dev|local`, run by a Python of the machine.

Only the standard library is here, since nothing is installed yet. What holds:

- the stamp (a copy of the lock) is written last, so an interrupted set-up is seen and made anew;
- a lock file next to .venv/ lets one process work and the others wait;
- uv installs (about 4 s where pip takes 25 s); pip brings it, with a hash, and takes over where uv cannot work.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PIP = [PYTHON, "-I", "-m", "pip"]
STAMP = VENV / "letta-stamp"
LOCKS = ROOT / "requirements"

# dev.lock holds every pin of runtime.lock (tests/test_packaging.py checks it), so a dev environment serves both.
SERVES: Mapping[str, Sequence[str]] = {"runtime": ["runtime"], "dev": ["runtime", "dev"], "local": ["local"]}
SAYS = {
    "runtime": "letta-code's packages",
    "dev": "letta-code's packages and the development tools",
    "local": "llama.cpp and a small model",
}


class SetupError(Exception):
    """A step of the set-up failed; the text says which one and what its program printed."""


def say(text: str) -> None:
    """Tell the person what happens now; stdout stays free for the program that is started afterwards."""
    print(f"letta-code set-up: {text}", file=sys.stderr, flush=True)


def call(command: Sequence[str | Path], *, shown: bool = False, **extra_environment: str) -> str:
    """Run a program without input and return its output; raise SetupError with that output if it fails.

    `shown`: at a terminal the program draws its own progress on stderr, and the output returned is empty.
    """
    shown = shown and sys.stderr.isatty()
    words = [str(word) for word in command if shown is False or word != "-q"]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=ROOT,
            # A person's pip may be set to install for the user, or to ask; neither fits an environment of ours.
            env={**os.environ, "PIP_USER": "0", "PIP_NO_INPUT": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
            | extra_environment,
            check=False,
        )
    except OSError as why:
        raise SetupError(f"{words[0]} could not be started: {why.strerror}") from why
    if done.returncode:
        raise SetupError(f"{shlex.join(words)}\nended with {done.returncode}. {(done.stdout or '').strip()}")
    return done.stdout or ""


@contextmanager
def only_one() -> Iterator[None]:
    """Hold the set-up's lock; the kernel drops it when this process ends, however it ends."""
    with open(ROOT / ".venv.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another set-up of this checkout is running; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def lock_text(level: str) -> str:
    """The lock's content, which is also the stamp of an environment that was made from it."""
    return (LOCKS / f"{level}.lock").read_text(encoding="utf-8")


def stamped(level: str) -> str | None:
    """What was installed for this level, None if it never was, or not here (a checkout that was moved or copied)."""
    try:
        if (STAMP / "place").read_text(encoding="utf-8") != str(ROOT) or not os.access(PYTHON, os.X_OK):
            return None
        return (STAMP / f"{level}.lock").read_text(encoding="utf-8")
    except OSError:
        return None


def create() -> None:
    """Make .venv/ anew, with pip and our own start command, and without packages."""
    if VENV.is_symlink():
        VENV.unlink()
    elif VENV.exists():
        say(".venv/ is unfinished, was moved, or was made by something else: making it anew")
        shutil.rmtree(VENV)
    say(f"making .venv/ with Python {sys.version.split()[0]}")
    call([sys.executable, "-m", "venv", VENV])
    packages = Path(call([PYTHON, "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]).strip())
    # A path file instead of an editable install: nothing is built, and an edit is seen at once.
    (packages / "letta_code_checkout.pth").write_text(f"{ROOT}\n", encoding="utf-8")
    command = VENV / "bin" / "letta-code"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(PYTHON))} -I -m letta_code "$@"\n', encoding="utf-8")
    command.chmod(0o755)


def like_pip() -> dict[str, str]:
    """Settings for uv that pip has here from its own configuration: the index and the certificates."""
    settings: dict[str, str] = {}
    for line in call([*PIP, "config", "list"]).splitlines():
        name, _, quoted = line.partition("=")
        value = quoted.strip("'\"")
        if name.endswith(".index-url"):
            settings.setdefault("UV_DEFAULT_INDEX", value)
        elif name.endswith(".cert"):
            settings.setdefault("SSL_CERT_FILE", value)
    return {name: value for name, value in settings.items() if name not in os.environ}


def install_with_uv(wanted: Sequence[str | Path]) -> None:
    """Let pip bring uv into a folder that is removed again, and uv bring the packages."""
    tool = VENV / "letta-uv"
    bring = ["install", "-q", "--no-compile", "--only-binary", ":all:", "--require-hashes", "-r", LOCKS / "uv.lock"]
    try:
        call([*PIP, *bring, "--target", tool])
        uv = [tool / "bin" / "uv", "pip"]
        packages = [*uv, "install", "-q", "--compile-bytecode", "--python", PYTHON, *wanted]
        call(packages, shown=True, **like_pip())
        # Python 3.11 puts setuptools into a new environment, and its .pth file into every start.
        call([*uv, "uninstall", "-q", "--python", PYTHON, "setuptools"])
    finally:
        shutil.rmtree(tool, ignore_errors=True)


def install(level: str) -> None:
    """Install a lock's packages: with uv if that works on this machine, else with pip. Both check every hash."""
    wanted = ["--require-hashes", "--no-deps", "-r", LOCKS / f"{level}.lock"]
    try:
        install_with_uv(wanted)
    except SetupError as why:
        say(f"uv did not work here ({str(why).splitlines()[-1].strip()}); going on with pip, which takes longer")
        call([*PIP, "install", "-q", *wanted], shown=True)
        call([*PIP, "uninstall", "-q", "-y", "setuptools"])


def ensure(level: str) -> None:
    """Bring .venv/ to a level, doing only what is missing."""
    if stamped(level) == lock_text(level):
        return  # the process that we waited for did it
    began = time.monotonic()
    base = stamped("runtime")
    if level == "local" and base is None:
        raise SetupError("the level 'local' is added to an environment: make 'runtime' or 'dev' first")
    if base is None:
        create()
    elif stamped(level) is not None:
        say(f"requirements/{level}.lock has changed: refreshing .venv/")
    if level != "local":  # which only adds: the environment stays usable while it is installed
        shutil.rmtree(STAMP, ignore_errors=True)
    say(f"installing {SAYS[level]} from requirements/{level}.lock (some hundred megabytes the first time)")
    install(level)
    STAMP.mkdir(exist_ok=True)
    for served in SERVES[level]:
        (STAMP / f"{served}.lock").write_text(lock_text(served), encoding="utf-8")
    (STAMP / "place").write_text(str(ROOT), encoding="utf-8")
    say(f"done in {time.monotonic() - began:.0f} s")


def main(argv: Sequence[str]) -> int:
    """The command: one level; returns the exit code."""
    if len(argv) != 1 or argv[0] not in SERVES:
        say(f"which level? {' | '.join(SERVES)}")
        return 2
    try:
        with only_one():
            ensure(argv[0])
    except (SetupError, OSError) as why:
        say(f"failed. {why}")
        say("Nothing is left half done: the next start makes .venv/ again. No network? It needs the package registry.")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the next start makes .venv/ again")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
