"""Values of a reading: what a shell text runs, writes and sets, and what about it cannot be read."""

from __future__ import annotations

import os
import re
from typing import Literal

from letta_code.core.messages import Value


class Command(Value):
    """One command: its words without quotes and assignments, and the folder it runs in as far as it is known.

    A word that the shell expands stands as it was written, without its quotes (`$HOME/x`, `*.py`); `literal` says of
    each word whether nothing is expanded in it (empty: all are).  `cwd` is the last folder known; `cwd_known` is False
    after a `cd` that cannot be followed.  `wrapper` is the program that runs this one (`env`, `sh`, `find`), "" for a
    command that stands in the text itself.  `piped` says that another command writes to its input.
    """

    words: tuple[str, ...]
    cwd: str = ""
    literal: tuple[bool, ...] = ()
    cwd_known: bool = True
    wrapper: str = ""
    piped: bool = False
    assignments: tuple[str, ...] = ()  # names of the variables set for this command only

    @property
    def name(self) -> str:
        """The program without its folder."""
        return os.path.basename(self.words[0])

    def is_literal(self, at: int) -> bool:
        """Whether the word at an index is known to the letter."""
        return at >= len(self.literal) or self.literal[at]


class Redirect(Value):
    """One redirection: its operator (`>`, `>>`, `>|`, `&>`, `<`, `<>`, `>&`), and the file as written without quotes.

    `literal` is False when the name is expanded.  Copies of descriptors (`2>&1`) and here-documents are not among them.
    `cwd` is where a relative name begins, `cwd_known` as in `Command`.
    """

    operator: str
    target: str
    literal: bool = True
    cwd: str = ""
    cwd_known: bool = True

    @property
    def writes(self) -> bool:
        """Whether the file may be created, changed or emptied."""
        return ">" in self.operator


class Assignment(Value):
    """A variable that is set in a text, in front of a command (`for_command`) or for what follows."""

    name: str
    value: str = ""
    literal: bool = True
    for_command: bool = False

    @property
    def decides(self) -> bool:
        """Whether it may change which programs run, or what they do behind a person's back."""
        name = self.name
        if name.startswith(_TOLD_TO_GIT) or (self.literal and _USUAL.fullmatch(f"{name}={self.value}")):
            return False
        return name in _DECIDING or name.startswith(_DECIDING_STARTS) or name.endswith(_DECIDING_ENDS)

    @property
    def harmless(self) -> bool:
        """Whether it cannot lead a program elsewhere than its arguments say (`KUBECONFIG`, `DOCKER_HOST` can).

        A name in small letters that is not set for one command is taken for a variable of the text itself.
        """
        name = self.name
        if name.startswith(_TOLD_TO_GIT) or _HARMLESS.fullmatch(name):
            return True
        if self.literal and _USUAL.fullmatch(f"{name}={self.value}"):
            return True
        return name.islower() and not self.for_command and not self.decides


class Opaque(Value):
    """A command whose effect cannot be read, and why.

    `kind` is `code` where anything may run (code in an argument, an interpreter that reads its input, a variable that
    decides what runs), `script` for a file of commands, `unknown` for a program of which it is not known what it does
    with its arguments: the last two hide a command only if its name stands somewhere (in `words` or in `mentions`).
    """

    words: tuple[str, ...]
    why: str
    kind: Literal["code", "script", "unknown"] = "code"


class Reading(Value):
    """What a shell text runs.

    `whole`: the text was understood to its end, so that `commands`, `redirects` and `assignments` are all there are
    (but what the `opaque` ones do by themselves).  Else `doubt` says why not, in words for a person.  `certain` is
    narrower: `commands[0]` is one simple command of literal words, and the others only its wrapped ones, filters of
    its output that touch no file, and a `cd` before it.  `mentions` is every run of words at all, also in data.
    """

    commands: tuple[Command, ...] = ()
    mentions: tuple[tuple[str, ...], ...] = ()
    certain: bool = False
    doubt: str = ""
    whole: bool = False
    redirects: tuple[Redirect, ...] = ()
    assignments: tuple[Assignment, ...] = ()
    opaque: tuple[Opaque, ...] = ()


_DECIDING = {
    "PATH", "BASH_ENV", "ENV", "SHELLOPTS", "BASHOPTS", "PROMPT_COMMAND", "PS0", "PS1", "PS2", "PS4", "IFS", "CDPATH",
    "GLOBIGNORE", "HOME", "SHELL", "EDITOR", "VISUAL", "PAGER", "MANPAGER", "BROWSER", "LESSOPEN", "LESSCLOSE", "LESS",
    "NODE_OPTIONS", "NODE_PATH", "PERL5OPT", "PERL5LIB", "PERL5DB", "RUBYOPT", "RUBYLIB", "JAVA_TOOL_OPTIONS",
    "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "GCONV_PATH", "LOCPATH", "TERMINFO", "TERMINFO_DIRS",
    "MAKEFLAGS", "MAKEFILES", "GNUMAKEFLAGS", "CC", "CXX", "LD", "RUSTC", "RUSTC_WRAPPER", "RUSTFLAGS", "GOFLAGS",
    "SSH_ASKPASS", "SUDO_ASKPASS", "SSH_AUTH_SOCK", "BASH_XTRACEFD", "HISTFILE", "INPUTRC", "TMOUT", "MAILPATH",
    "FIGNORE", "EXECIGNORE", "ZDOTDIR", "FCEDIT", "POSIXLY_CORRECT", "RIPGREP_CONFIG_PATH", "TAR_OPTIONS", "GZIP",
    "XZ_OPT", "RSYNC_RSH", "CVS_RSH", "VIMINIT", "EXINIT", "BASH_LOADABLES_PATH", "PYTHONHOME",
}  # fmt: skip
_DECIDING_STARTS = ("LD_", "DYLD_", "GIT_", "BASH_FUNC_", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONINSPECT", "npm_config_",
                    "NPM_CONFIG_", "PIP_", "UV_INDEX", "CARGO_", "MALLOC_", "GLIBC_")  # fmt: skip
_DECIDING_ENDS = ("_PROXY", "_proxy", "_EDITOR", "_PAGER", "_WRAPPER", "_PRELOAD")
_TOLD_TO_GIT = ("GIT_AUTHOR_", "GIT_COMMITTER_", "GIT_TERMINAL_PROMPT", "GIT_OPTIONAL_LOCKS", "GIT_MERGE_AUTOEDIT")
_HARMLESS = re.compile(
    r"NO_COLOR|FORCE_COLOR|CLICOLOR(?:_FORCE)?|CI|LANG|LANGUAGE|LC_\w+|TZ|TERM|COLUMNS|LINES|NODE_ENV|VERBOSE|RUST_BACKTRACE"
    r"|PYTHON(?:UNBUFFERED|DONTWRITEBYTECODE|HASHSEED|WARNINGS)|SOURCE_DATE_EPOCH"
)
# Values that name nothing which could do harm.
_USUAL = re.compile(
    r"\w*PAGER=(?:cat|less|more)?|\w*(?:EDITOR|VISUAL)=(?:true|:|cat)?|NODE_OPTIONS=--max-old-space-size=\d+"
    r"|(?:CC|CXX)=(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+)(?:-\d+)?|MAKEFLAGS=-j\d*|LESS=-\w*|IFS=\s*[,:;|]?"
    r"|CARGO_(?:TERM_COLOR|INCREMENTAL|BUILD_JOBS)=\w*|PIP_(?:DISABLE_PIP_VERSION_CHECK|NO_INPUT|NO_CACHE_DIR)=\w*"
)
