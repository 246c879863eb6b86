"""Shell scripts that a command runs: whether the file itself names a program, as far as it can be read here and now."""

from __future__ import annotations

import os
import re
import stat

from letta_code.safety.rules import Ground
from letta_code.safety.shell_programs import SHELLS
from letta_code.safety.shell_values import Command

_SHELLS = SHELLS | {"ksh", "mksh", "zsh", "busybox"}  # whose scripts are read alike
_FIRST_LINE = re.compile(rb"#!\s*\S*?(?:/|\s)(?:env\s+(?:-S\s+)?)?(?:\S*/)?(?:ba|da|a|k|mk|z)?sh\b")
_LONGEST = 200_000  # bytes of a script that are looked through


def named_in_script(program: str, command: Command, ground: Ground) -> bool:
    """Whether the words of a command name a shell script that is there and has the program's name in it as a word.

    One of more than 200 kB counts as having it.  What the script runs in its turn is not followed.
    """
    folder = command.cwd or ground.root
    if command.name in _SHELLS:
        named = [word for word in command.words[1:] if not word.startswith("-")][:2]
        return any(_has(os.path.join(folder, word), program, any_file=True) for word in named)
    return "/" in command.words[0] and _has(os.path.join(folder, command.words[0]), program, any_file=False)


def _has(path: str, program: str, *, any_file: bool) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return False
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False
        text = os.read(descriptor, _LONGEST + 1)
    except OSError:
        return True  # a file that is there and cannot be read
    finally:
        os.close(descriptor)
    if not any_file and _FIRST_LINE.match(text) is None:
        return False
    name = re.escape(os.path.basename(program).encode())
    return len(text) > _LONGEST or re.search(rb"(?<![\w.-])" + name + rb"(?![\w.-])", text) is not None
