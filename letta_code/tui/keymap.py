"""Keymap: every key of the screen, what it does, and the words the help screen shows for it."""

from __future__ import annotations

from typing import cast

from textual.binding import Binding

# (keys as people read them, what they do): the help screen, in order.
HELP: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Write",
        (
            ("Enter", "send; while the agent works the message waits for its next step"),
            ("Shift+Enter, Ctrl+J", "new line; so do Alt+Enter, and \\ before Enter"),
            ("↑ ↓", "earlier and later prompts; ↑ in an empty prompt takes a waiting message back"),
            ("Ctrl+R", "search the prompts of this project"),
            ("Ctrl+G", "write in your editor ($VISUAL, $EDITOR)"),
            ("@", "name a file"),
            ("/", "commands"),
            ("!", "run a shell command yourself; its output goes along with your next message"),
        ),
    ),
    (
        "Steer",
        (
            ("Esc", "stop the agent; what was done is kept"),
            ("Shift+Tab", "mode: plan → ask → auto"),
            ("Ctrl+C", "copy the selection, else clear the prompt (↑ brings it back), twice: leave"),
            ("Ctrl+D", "leave, from an empty prompt"),
            ("Ctrl+Z", "suspend; `fg` comes back"),
        ),
    ),
    (
        "Look",
        (
            ("PgUp PgDn, wheel", "scroll; Ctrl+End goes to the end"),
            ("Ctrl+O", "unfold or fold everything"),
            ("Ctrl+↑ Ctrl+↓", "walk through the cards; Enter unfolds one"),
            ("F2", "what the agent remembers: read, edit, history, where a line came from, undo"),
            ("Ctrl+T", "the memory pane beside the conversation, on wide screens"),
            ("Ctrl+B", "the pane with this conversation's changes"),
            ("mouse drag", "select, and copy on release; with Shift the terminal's own selection"),
            ("/mouse", "give the mouse to the terminal, or take it back"),
            ("F1", "this page"),
        ),
    ),
)

APP: list[Binding] = [
    Binding("ctrl+c", "copy_clear_quit", "Clear or leave", priority=True, show=False),
    Binding("ctrl+q", "leave", "Leave", priority=True, show=False),
    Binding("ctrl+z", "suspend_process", "Suspend", priority=True, show=False),
    Binding("f1", "help", "Help", priority=True, show=False),
]

CHAT: list[Binding] = [
    Binding("escape", "interrupt", "Stop", show=False),
    Binding("shift+tab", "cycle_mode", "Mode", priority=True, show=False),
    Binding("ctrl+o", "fold", "Fold", priority=True, show=False),
    Binding("ctrl+b", "changes", "Changes", priority=True, show=False),
    Binding("ctrl+t", "memory", "Memory pane", priority=True, show=False),
    Binding("f2", "memory(False)", "Memory", priority=True, show=False),
    Binding("pageup", "page(-1)", "Up", priority=True, show=False),
    Binding("pagedown", "page(1)", "Down", priority=True, show=False),
    Binding("ctrl+home", "to_end(-1)", "Start", priority=True, show=False),
    Binding("ctrl+end", "to_end(1)", "End", priority=True, show=False),
    Binding("ctrl+up", "card(-1)", "Card before", priority=True, show=False),
    Binding("ctrl+down", "card(1)", "Card after", priority=True, show=False),
]


def teach_terminal_keys() -> None:
    """Let textual know Alt+Enter of plain terminals, and Shift+Enter of those that use xterm's modifyOtherKeys.

    It takes both for Enter, which would send what is not finished.
    """
    from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
    from textual.keys import Keys

    known = cast("dict[str, object]", ANSI_SEQUENCES_KEYS)
    for sequence in ("\x1b\r", "\x1b\n", "\x1b[27;2;13~", "\x1b[27;3;13~", "\x1b[27;5;13~"):
        known[sequence] = (Keys.ControlJ,)


SEND = "enter"
NEWLINE = ("shift+enter", "ctrl+j", "alt+enter", "ctrl+enter")
EDITOR = "ctrl+g"
SEARCH = "ctrl+r"
END = "ctrl+d"
