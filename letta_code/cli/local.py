"""Models that run on this machine: list them, or pull one.

`letta-code local list` shows what is here and what can be had; `letta-code local pull NAME|URL` downloads one, and goes
on where an earlier try ended.  Use one with `--model local/NAME` or `--model local/PATH.gguf`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from letta_code.cli._flags import HELP, parse
from letta_code.core.errors import ConfigError, UsageError

_HELP = """letta-code local list             models that are here, and those that can be pulled by name
letta-code local pull NAME|URL    download a model; run it again to go on after a break

Use one with --model local/NAME, or any GGUF file with --model local/PATH.gguf.
They need llama.cpp: pip install 'letta-code[local]'"""


def run(argv: Sequence[str]) -> int:
    """`local list` or `local pull WORD`; returns the exit code."""
    parsed = parse(argv, (HELP,))
    if parsed.on("help"):
        print(_HELP)
        return 0
    match parsed.words:
        case () | ("list",):
            return _list()
        case ("pull", word):
            return _pull(word)
        case _:
            raise UsageError(f"letta-code local {' '.join(parsed.words)}: it is list, or pull NAME|URL.")


def _list() -> int:
    from letta_code.config.paths import Paths
    from letta_code.llm.local_list import listed_files, models_folder, pulled_models

    paths = Paths.find()
    here = pulled_models(paths)
    print(f"Here ({models_folder(paths)}):")
    for name, file, record in here:
        checked = f"SHA-256 as {record.checked} says" if record and record.checked else "SHA-256 not compared"
        print(f"  local/{name:<30} {_size(file.stat().st_size):>9}  {checked if record else ''}".rstrip())
    if not here:
        print("  none")
    names = {name for name, _, _ in here}
    print("\nTo pull by name (addresses marked * were not tried by us):")
    for entry in listed_files():
        mark = " " if entry.tried else "*"
        size = _size(entry.size) if entry.size else "?"
        state = "here" if entry.name in names else f"needs {entry.memory} of memory"
        print(f"{mark} {entry.name:<36} {size:>9}  {state}; {entry.note}")
    if not _installed():
        print("\nllama.cpp is not installed yet: pip install 'letta-code[local]'")
    return 0


def _pull(word: str) -> int:
    from letta_code.config.paths import Paths
    from letta_code.llm.local_download import public_url, pull
    from letta_code.llm.local_list import models_folder, pulled_models, to_pull

    wanted = to_pull(word)
    paths = Paths.find()
    folder = paths.folder(models_folder(paths))
    file = folder / f"{wanted.name}.gguf"
    if file.exists():
        _must_be_the_same(wanted.name, public_url(wanted.url), pulled_models(paths))
        print(f"{wanted.name} is here: --model local/{wanted.name}")
        return 0
    if not wanted.tried:
        _say(f"{public_url(wanted.url)}: an address that we have not tried.")
    progress = _Progress(wanted.name)
    try:
        pulled = pull(wanted, file, on_progress=progress.told, on_wait=progress.waits)
    except KeyboardInterrupt:
        progress.end()
        _say("Stopped. What came is kept: run the command again to go on.")
        raise
    finally:
        progress.end()
    if not wanted.sha256:
        said = f"{pulled.checked} says the same" if pulled.checked else "nobody said what it should be"
        _say(f"No SHA-256 of ours is known for it. It is {pulled.sha256}; {said}. It is kept in {file}.json")
    print(f"{wanted.name} is here ({_size(pulled.size)}): --model local/{wanted.name}")
    if not _installed():
        _say("To run it, llama.cpp is needed: pip install 'letta-code[local]'")
    return 0


def _must_be_the_same(name: str, url: str, here: tuple[tuple[str, Path, object], ...]) -> None:
    """Two addresses whose files have one name: the second must not pass for the first."""
    for known, file, record in here:
        origin = getattr(record, "url", url)
        if known == name and origin != url:
            raise ConfigError(
                f"{file} is here already, and came from {origin}.",
                hint="Rename or remove it first, with the .json beside it.",
            )


def _installed() -> bool:
    from importlib.util import find_spec

    return find_spec("xllamacpp") is not None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


class _Progress:
    """How far it is, on stderr: one line that is written over on a terminal, a line every 10 % elsewhere."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tty = sys.stderr.isatty()
        self._next = 0.0
        self._began = time.monotonic()
        self._first = -1
        self._open = False

    def told(self, done: int, total: int) -> None:
        """Bytes that are here, of all."""
        now = time.monotonic()
        if self._first < 0:
            self._first = done
            if done > 2 << 20:
                _say(f"{_size(done)} were here already.")
        complete = total and done >= total
        by_time = self._tty or not total
        if not complete and (now if by_time else done / total) < self._next:
            return
        speed = (done - self._first) / max(now - self._began, 0.001)
        share = f"{done * 100 // total}% of {_size(total)}" if total else _size(done)
        left = f", {_time((total - done) / speed)} left" if total and speed > 0 and not complete else ""
        line = f"{self._name}: {share}, {_size(int(speed))}/s{left}"
        if self._tty:
            self._next = now + 0.2
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            self._open = True
        else:
            self._next = done / total + 0.1 if total else now + 10
            _say(line)

    def waits(self, why: str, seconds: float) -> None:
        """The connection broke."""
        self.end()
        _say(f"{self._name}: {why}; going on in {seconds:.0f} s")

    def end(self) -> None:
        """Leave the line."""
        if self._open:
            _say("")
            self._open = False


def _time(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
