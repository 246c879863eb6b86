"""The command line: `letta-code [DIR] [flags]` opens a face, `letta-code VERB` runs one file of this folder.

A verb is a module here whose name has no underscore, with `run(argv) -> int`; the first line of its docstring is its
help text.  Modules with an underscore are shared by the verbs.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from letta_code.core.errors import LettaError


_OUTPUT_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return the process's exit code.

    0 done; 1 agent or configuration error; 2 usage; 3 permission or trust; 4 limit reached; 75 provider unavailable;
    129, 130, 143 ended by a signal; 141 the reader of our output went away in the middle.
    """
    from letta_code.core.errors import LettaError

    argv = sys.argv[1:] if argv is None else list(argv)
    _fill_descriptors()
    try:
        code = _dispatch(argv)
        if sys.stdout is not None:  # None when closed: `letta-code … >&-`
            sys.stdout.flush()
        return code
    except LettaError as error:
        return tell(error)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()
        return 141  # whoever read our output went away
    except OSError as error:
        if error.filename is not None or error.errno not in _OUTPUT_ERRORS:
            raise  # a bug of ours, to be seen as one
        _drop_output()
        return tell(LettaError(f"stdout: {error.strerror}", hint="What was asked for could not be written whole."))


def _fill_descriptors() -> None:
    """Put /dev/null where 0, 1 or 2 is closed: else the next file that is opened would get what is printed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The wrong way round on purpose: whoever uses it is still told that it does not work.
            os.open(os.devnull, os.O_RDONLY if descriptor else os.O_WRONLY)


def _drop_output() -> None:
    """Python would complain once more when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def tell(error: LettaError) -> int:
    """Say what happened and what to do on stderr; returns the exit code that goes with it."""
    lines = [f"letta-code: {error}", *(f"  {line}" for line in error.hint.splitlines())]
    print(*lines, sep="\n", file=sys.stderr, flush=True)
    return error.exit_code


def is_verb(word: str) -> bool:
    """Whether a word names a verb; a folder of the same name is meant by `./word`."""
    return word.isidentifier() and not word.startswith("_") and Path(__file__).with_name(f"{word}.py").is_file()


def _dispatch(argv: Sequence[str]) -> int:
    if argv and argv[0] in ("--version", "-V"):
        from letta_code import __version__

        print(f"letta-code {__version__}")
        return 0
    if argv and is_verb(argv[0]):
        from importlib import import_module

        run: int = import_module(f"letta_code.cli.{argv[0]}").run(list(argv[1:]))
        return run
    from letta_code.host.allocator import collect_seldom

    collect_seldom()
    from letta_code.cli import _start

    return _start.run(argv)
