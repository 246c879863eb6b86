"""Run every check of the repository, each with its seconds; the last lines say which failed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
BIN = ROOT / ".venv" / "bin"
PARTS = ["letta_code", "terminalbench", "tests", "scripts"]


def phases(arguments: Sequence[str]) -> dict[str, list[str]]:
    """Name and command of each check, the quick ones first; the arguments are pytest's."""
    python = str(BIN / "python")
    return {
        "ruff check": [str(BIN / "ruff"), "check", *PARTS],
        "ruff format": [str(BIN / "ruff"), "format", "--check", *PARTS],
        "lint-imports": [str(BIN / "lint-imports")],
        "basedpyright": [str(BIN / "basedpyright")],
        # Two workers: the machines of developers and CI have two cores. A later -n on the command line wins.
        # Inline snapshots are compared as ever; what is off is rewriting them, which several workers cannot do.
        "pytest": [python, "-m", "pytest", "-n", "2", "--dist", "worksteal", "--inline-snapshot=disable", *arguments],
    }


def run(name: str, command: Sequence[str]) -> tuple[int, float]:
    """Run one check with its output passed through; returns its exit code and its seconds."""
    print(f"\n=== {name}", flush=True)
    began = time.monotonic()
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    code = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, env=environment, check=False).returncode
    seconds = time.monotonic() - began
    print(f"=== {name}: {'ok' if code == 0 else f'FAILED ({code})'} in {seconds:.1f} s", flush=True)
    return code, seconds


def main(pytest_arguments: Sequence[str]) -> int:
    """Run all checks, also after a failed one; returns 1 if any failed."""
    results = {name: run(name, command) for name, command in phases(pytest_arguments).items()}
    failed = [name for name, (code, _) in results.items() if code]
    print("\n" + "   ".join(f"{name} {seconds:.1f} s" for name, (_, seconds) in results.items()))
    print(f"FAILED: {', '.join(failed)}" if failed else "all checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
