"""`letta-code [DIR] [flags]`: which face the flags mean, and what it is opened with."""

from __future__ import annotations

import os
import select
import stat
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from letta_code.agent.folder_trust import look, mark_of
from letta_code.agent.port import SessionOptions
from letta_code.cli._flags import HELP, Flag, Parsed, help_lines, here, parse, seconds_of, whole_number
from letta_code.cli._stdin import with_stdin
from letta_code.cli._trust import AskedAtStart, ignored
from letta_code.config.paths import Paths
from letta_code.config.settings import MODES, load
from letta_code.core.display import ShellBlock
from letta_code.core.errors import ConfigError, UsageError
from letta_code.core.events import Notice
from letta_code.safety.trust import Standing

FACE = (
    Flag(names=("--plain",), help="A plain line-by-line prompt, for dumb terminals and screen readers."),
    Flag(names=("--cwd",), metavar="DIR", help="Work in this folder (the same as DIR)."),
    Flag(names=("-c", "--continue"), help="Go on with this folder's newest conversation."),
    Flag(names=("-r", "--resume"), metavar="ID", help="Go on with the conversation of this id."),
    Flag(names=("--agent",), metavar="NAME", help="Be with this agent, by name or id (letta-code agents lists them)."),
    Flag(names=("-m", "--model"), metavar="NAME", help="Use this model, such as anthropic/NAME or scripted:FILE.yaml."),
    Flag(
        names=("--mode",),
        metavar="MODE",
        choices=MODES,
        help="What may happen without a question: plan changes nothing; ask works in the folder, inside a sandbox, and "
        "asks to leave it (for each edit and command where there is none); auto asks less; full asks nothing.",
    ),
    Flag(names=("--allow",), metavar="RULE", repeat=True, help="Allow what a rule covers, such as 'Bash(npm test)'."),
    Flag(names=("--deny",), metavar="RULE", repeat=True, help="Refuse what a rule covers; it wins over --allow."),
    Flag(
        names=("--trust",),
        help="Use this folder's own settings, servers, skills, commands and hooks for this start, without asking "
        "(`letta-code trust` remembers it; --mode full implies it).",
    ),
    Flag(names=("--max-turns",), metavar="N", help="Stop a run after N model calls (exit code 4)."),
    Flag(names=("--time-limit",), metavar="TIME", help="Stop a run after 90s, 10m or 2h (exit code 4)."),
)
PRINT = (
    Flag(
        names=("-p", "--print"),
        metavar="PROMPT",
        optional=True,
        help="Headless: do what the prompt says, print the answer and end. Without PROMPT it is read from stdin; "
        "with it, a file or pipe on stdin is put after the prompt (a pipe that is silent at the start is not).",
    ),
    Flag(names=("--prompt-file",), metavar="FILE", help="Headless, with the prompt from a file."),
    Flag(
        names=("--output-format",),
        metavar="FORMAT",
        choices=("text", "json", "stream-json"),
        help="Headless output: the answer, one JSON object at the end, or every event as a line of JSON.",
    ),
    Flag(
        names=("--input-format",),
        metavar="FORMAT",
        choices=("text", "stream-json"),
        help="Headless input on stdin: one prompt, or messages and answers as lines of JSON, until it ends.",
    ),
    Flag(names=("-q", "--quiet"), help="Headless: no progress on stderr, only errors."),
)
_HIDDEN = ("worker",)  # verbs that only letta-code itself uses
_QUIET_SECONDS = 2.0  # of a stdin that says nothing, before we say that we wait for it
OTHER = (HELP, Flag(names=("-V", "--version"), help="Show the version."))
FLAGS = (*FACE, *PRINT, *OTHER)


def run(argv: Sequence[str]) -> int:
    """Open the face that the command line asks for, and return its exit code."""
    parsed = parse(argv, FLAGS)
    if parsed.on("help"):
        print(help_text())
        return 0
    if parsed.on("version"):
        from letta_code import __version__

        print(f"letta-code {__version__}")
        return 0
    face = _face(parsed)
    if face == "headless":
        options, notices = session_options(parsed, face)
        return _headless(parsed, options, notices)
    looked = look(folder_of(parsed), Paths.find())
    asks = looked.asks and has_screen() and not _held(parsed)
    options, notices = session_options(parsed, face, looked=looked)
    if asks:  # what is to be told depends on the answer, and comes after it
        notices = ()
    question = AskedAtStart(looked, lambda held: session_options(parsed, face, held=held), Paths.find())
    if face == "plain":
        for notice in notices:
            print(f"{notice.level}: {notice.text}", file=sys.stderr)
        return _plain(options, question if asks else None)
    from letta_code.cli._ports import ports
    from letta_code.tui.main import run as tui

    return tui(options, ports=ports(options, trust=question if asks else None, notices=notices))


def _plain(options: SessionOptions, question: AskedAtStart | None) -> int:
    from letta_code.plain.app import run as plain
    from letta_code.plain.reader import Reader

    async def connect(reader: Reader, say: Callable[[str], None]) -> str:
        from letta_code.cli._connecting import Connecting
        from letta_code.cli._wizard import play

        return await play(Connecting(options.cwd), reader.line, say)

    async def shell(command: str, on_output: Callable[[str], None]) -> ShellBlock:
        from letta_code.cli._ports import TypedShell

        return await TypedShell(options.cwd).run(command, on_output)

    return plain(options, connect=connect, shell=shell, trust=question)


def _face(parsed: Parsed) -> str:
    """headless when a prompt is given or piped in; else plain when asked for; else the full screen."""
    asked = [flag.names[-1] for flag in PRINT if parsed.on(flag.key) and flag.key != "quiet"]
    if parsed.on("plain"):
        if asked:
            raise UsageError(f"--plain and {asked[0]} do not go together.", hint="Leave one of them out.")
        return "plain"
    if asked or not _is_tty(0):
        return "headless"
    if not _is_tty(1):
        raise UsageError("The screen needs a terminal, and the output goes elsewhere.", hint='Use: letta-code -p "…"')
    if os.environ.get("TERM", "dumb") == "dumb":
        return "plain"
    return "tui"


def has_screen() -> bool:
    """Whether a face can be opened in this terminal."""
    return _is_tty(0) and _is_tty(1)


def _is_tty(descriptor: int) -> bool:
    try:
        return os.isatty(descriptor)
    except OSError:
        return False  # closed


def session_options(
    parsed: Parsed, face: str, *, held: bool = False, looked: Standing | None = None
) -> tuple[SessionOptions, tuple[Notice, ...]]:
    """What to open the session with, and what was wrong with the settings or is not used.  Raises `UsageError`.

    `held`: the folder is trusted for this start, whatever is known of it.
    """
    cwd = folder_of(parsed)
    if parsed.on("continue") and parsed.on("resume"):
        raise UsageError("--continue and --resume do not go together.", hint="Leave one of them out.")
    flags: dict[str, Any] = {name: parsed.flags.get(name) for name in ("model", "mode", "agent")}
    if parsed.on("max_turns"):
        flags["max_turns"] = whole_number(parsed.text("max_turns"), "--max-turns")
    if parsed.on("time_limit"):
        flags["time_limit"] = seconds_of(parsed.text("time_limit"), "--time-limit")
    _check_rules(parsed)
    looked = looked or look(cwd, Paths.find())
    trusted = looked.trusted or held or _held(parsed)
    loaded = load(cwd, flags=flags, trusted=trusted)
    options = SessionOptions(
        cwd=str(cwd),
        settings=loaded.settings,
        conversation="last" if parsed.on("continue") else parsed.text("resume"),
        model=parsed.text("model"),
        agent=parsed.text("agent"),
        mode=parsed.text("mode"),
        interactive=face != "headless" or parsed.text("input_format") == "stream-json",
        face=face,
        allow=parsed.many("allow"),
        deny=parsed.many("deny"),
        trusted=trusted,
        trusted_as=mark_of(looked.pinned) if trusted else "",
    )
    said = {"trust"} if trusted else {"trust", "project_settings"}  # in one line for the whole folder
    wrong = (notice for notice in loaded.notices if notice.code not in said)
    return options, (*wrong, *ignored(looked, trusted=trusted))


def _held(parsed: Parsed) -> bool:
    """Whether this start itself trusts the folder: mode full does all that the folder could."""
    return parsed.on("trust") or (parsed.text("mode") or os.environ.get("LETTA_MODE", "")) == "full"


def _check_rules(parsed: Parsed) -> None:
    """A wrong rule on the command line is the command line's fault, and nothing is started with it."""
    if not (parsed.on("allow") or parsed.on("deny")):
        return
    from letta_code.safety.rules import parse_rules

    try:
        parse_rules(parsed.many("allow"), "allow", "flag")
        parse_rules(parsed.many("deny"), "deny", "flag")
    except ConfigError as error:
        raise UsageError(str(error), hint=error.hint) from error


def folder_of(parsed: Parsed) -> Path:
    """The folder to work in; raises `UsageError`."""
    named = [*parsed.words, *filter(None, [parsed.text("cwd")])]
    if len(named) > 1:
        raise UsageError(
            f"One folder at a time, and these are {len(named)}: {', '.join(named[:4])}.",
            hint='A prompt is given in quotes: letta-code -p "fix the test"',
        )
    if not named:
        return here()
    folder = Path(named[0]).expanduser()
    if not folder.is_dir():
        raise UsageError(f"There is no folder {named[0]}{_verb_meant(named[0])}.", hint="letta-code --help")
    return folder.resolve()


def _verb_meant(word: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, verbs(), n=1, cutoff=0.6)
    return f"; did you mean `letta-code {close[0]}`?" if close else ""


def print_run(parsed: Parsed) -> int:
    """A headless run of what was parsed; its exit code."""
    options, notices = session_options(parsed, "headless")
    return _headless(parsed, options, notices)


def _headless(parsed: Parsed, options: SessionOptions, notices: tuple[Notice, ...]) -> int:
    from letta_code.headless.run import Printing, run

    two_way = parsed.text("input_format") == "stream-json"
    form = parsed.text("output_format") or ("stream-json" if two_way else "text")
    if two_way and form != "stream-json":
        raise UsageError("--input-format stream-json needs --output-format stream-json.")
    if two_way and (parsed.on("prompt_file") or parsed.text("print")):
        raise UsageError("With --input-format stream-json the prompt comes on stdin, as a line of JSON.")
    printing = Printing(
        prompt="" if two_way else prompt_of(parsed),
        form=form,
        two_way=two_way,
        quiet=parsed.on("quiet"),
        notices=notices,
    )
    return run(options, printing)


def prompt_of(parsed: Parsed) -> str:
    """The prompt: given, in a file, or on stdin.  Raises `UsageError` where there is none."""
    if parsed.on("prompt_file"):
        if parsed.text("print"):
            raise UsageError("A prompt and --prompt-file do not go together.", hint="Leave one of them out.")
        text = _prompt_file(Path(parsed.text("prompt_file")).expanduser())
    elif parsed.flags.get("print") not in (None, "-"):
        text = parsed.text("print")  # an empty one too: a shell variable that is not set must not wait for stdin
        if text.strip():
            text = with_stdin(text, lambda words: _warn(words, quiet=parsed.on("quiet")))
    else:
        text = _stdin_text()
    if not text.strip():
        raise UsageError("There is no prompt.", hint='Give one: letta-code -p "fix the failing test"')
    return text


def _warn(words: str, *, quiet: bool) -> None:
    if not quiet:
        print(f"letta-code: {words}", file=sys.stderr, flush=True)


def _prompt_file(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UsageError(f"{path} is not a file.")
        return path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise UsageError(f"The prompt file {path} cannot be read: {error.strerror}.") from error


def _stdin_text() -> str:
    """All of stdin; a terminal is not waited on, since nobody would know that we do."""
    if _is_tty(0):
        raise UsageError("There is no prompt.", hint='Give one: letta-code -p "fix the failing test"')
    pieces: list[bytes] = []
    try:
        if not select.select([0], [], [], _QUIET_SECONDS)[0]:
            print('letta-code: waiting for the prompt on stdin (-p "…" gives it directly)', file=sys.stderr, flush=True)
        while piece := os.read(0, 65536):
            pieces.append(piece)
    except (OSError, ValueError):
        pass  # closed: as good as empty
    return b"".join(pieces).decode("utf-8-sig", "replace")


def verbs() -> list[str]:
    """The verbs for people, by name."""
    names = (path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    return sorted(name for name in names if name not in _HIDDEN)


def help_text() -> str:
    """What `letta-code --help` shows: every flag and verb with a sentence."""
    lines = [
        "letta-code: a coding agent for the terminal",
        "",
        "  letta-code [DIR] [flags]        open it in a folder (here, without DIR)",
        '  letta-code -p "PROMPT" [flags]  do one thing and print the answer',
        "  letta-code VERB [--help]        see below",
    ]
    for title, flags in (("Flags", FACE), ("Headless", PRINT), ("Other", OTHER)):
        lines += ["", title, *help_lines(flags)]
    lines += ["", "Verbs", *(f"  {name:<26}{_first_line(name)}" for name in verbs())]
    codes = "0 done, 1 error, 2 usage, 3 permission, 4 limit, 75 provider unavailable, 128+N ended by signal N"
    lines += ["", f"Exit codes: {codes}"]
    return "\n".join(lines)


def _first_line(verb: str) -> str:
    """A verb's sentence, read from its file without running it."""
    import ast

    source = Path(__file__).with_name(f"{verb}.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
