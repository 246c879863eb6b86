"""Rows H in a real terminal: what a model, a file and a command say reaches the screen as text, and nothing else."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.terminal import Terminal
from tests.fakes.model_server import ModelServer
from tests.fakes.replies import Call, Reply

CLIP, TITLE, LINK = b"cHduZWQ=", b"PWNED", b"evil.example"  # what the payload tries to plant
PAYLOAD = (
    "\x1b[2J\x1b[H\x1b]52;c;cHduZWQ=\x07\x1b]0;PWNED\x07\x1b]2;PWNED\x1b\\"
    "\x1b]8;;http://evil.example\x07github.com\x1b]8;;\x07\x1bPq#0;2;0;0;0\x1b\\\x9b31m\x90q\x9c"
    "\x1b_Gf=24;AAAA\x1b\\ [bold]x[/] [@click=app.quit]y[/] [ unbalanced \u202egnp.exe"
)
NAME = "a\u202egnp.exe"  # shows as aexe.png
Calls = tuple[str, Mapping[str, Any]]


class Desk:
    """A work tree with the payload in a file, and a model that is scripted."""

    def __init__(self, folder: Path, server: ModelServer) -> None:
        self.root = folder / "app"
        self.root.mkdir()
        subprocess.run(["git", "init", "-q", "-b", "main", str(self.root)], check=True)
        (self.root / "payload").write_text(PAYLOAD + "\n")
        home = Path(os.environ["LETTA_HOME"])
        home.mkdir(mode=0o700)
        (home / "config.yaml").write_text("allow: ['Bash(cat *)']\n")  # so that they run with every sandbox
        self.server = server
        self.terminals: list[Terminal] = []
        self.env = {
            **os.environ,
            "OPENAI_BASE_URL": server.url + "/v1",
            "OPENAI_API_KEY": "test-key",
            "LETTA_MODEL": "openai/fake",
        }

    def plays(self, *calls: Calls, text: str) -> None:
        """The model makes these calls, a step each, and says something."""
        replies = [Reply(tools=(Call(name=name, arguments=json.dumps(args)),)) for name, args in calls]
        self.server.reply(*replies, Reply(text=text))

    def opened(self, *words: str, columns: int = 110, lines: int = 45) -> Terminal:
        """letta-code in a terminal of its own."""
        argv = ("-m", "letta_code", "--trust", *words)
        terminal = Terminal(*argv, cwd=self.root, env=self.env, columns=columns, lines=lines)
        self.terminals.append(terminal)
        return terminal


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with ModelServer() as server:
        made = Desk(tmp_path, server)
        yield made
        for terminal in made.terminals:
            terminal.close()


def inert(terminal: Terminal) -> None:
    """Nothing that was planted got to the terminal as a command: bytes first, then what the terminal made of them."""
    written = terminal.written
    assert [found for found in re.findall(rb"\x1b\]52;[^\x07\x1b]*", written) if CLIP in found] == []
    assert [found for found in re.findall(rb"\x1b\][012];[^\x07\x1b]*", written) if TITLE in found] == []
    assert [found for found in re.findall(rb"\x1b\]8;[^\x07\x1b]*", written) if LINK in found] == []
    assert not re.search(rb"\x1b[PX^_]", written)  # no device control string, no graphics
    assert not re.search(rb"\xc2[\x80-\x9f]", written)  # no 8-bit control
    assert "\u202e".encode() not in written
    assert "PWNED" not in terminal.screen.title
    assert "PWNED" not in terminal.screen.icon_name


LOOKS: tuple[Calls, ...] = (
    ("Read", {"path": "payload"}),
    ("Grep", {"pattern": "unbalanced"}),
    ("Write", {"path": NAME, "content": PAYLOAD}),
    ("Bash", {"command": "cat payload"}),
    ("Read", {"path": PAYLOAD.replace("/", "")}),
)


@pytest.mark.row("H01", "H02", "H04", "C15")
@pytest.mark.parametrize(
    ("face", "sandbox"), [("screen", "bubblewrap"), ("plain", "landlock"), ("text", "off")], indirect=["sandbox"]
)
def test_nothing_from_outside_speaks_to_the_terminal(desk: Desk, face: str, sandbox: str) -> None:
    """Each face with another sandbox: what is shown does not depend on what held the command."""
    desk.env["LETTA_SANDBOX"] = sandbox
    desk.plays(*LOOKS, text=f"# {PAYLOAD}\n\n{PAYLOAD}\n\nthe end of it")
    if face == "text":
        terminal = desk.opened("--mode", "auto", "-p", "go")
        assert terminal.ended(60) == 0
        assert b"\x1b[2J" not in terminal.written
        assert b"\x1b[H" not in terminal.written
    else:
        terminal = desk.opened("--mode", "auto", *(["--plain"] if face == "plain" else []))
        terminal.until("Ask for a change" if face == "screen" else "lists the commands", 60)
        before = terminal.written.count(b"\x1b[2J")
        terminal.send("go on\r")
        terminal.until("the end of it", 60)
        terminal.read(1.0)
        assert terminal.written.count(b"\x1b[2J") == before
    inert(terminal)
    said = " ".join(terminal.text.split())
    assert "[bold]x[/]" in said
    assert "[@click=app.quit]y[/]" in said
    assert b"U+202E" in terminal.written  # it is made visible, in the answer and in the name of the file
    if face != "text":
        assert terminal.child.isalive()
        terminal.send("/exit\r")
        assert terminal.ended(60) == 0
    assert (desk.root / NAME).read_text() == PAYLOAD


@pytest.mark.row("H03", "H07")
@pytest.mark.parametrize(
    ("columns", "sandbox"), [(80, "bubblewrap"), (120, "landlock"), (80, "off")], indirect=["sandbox"]
)
def test_keys_that_were_on_their_way_say_no_yes_and_the_end_of_a_command_is_seen(
    desk: Desk, columns: int, sandbox: str
) -> None:
    """The Enter of somebody who types is no answer; the padded part of a command can be read before one is given."""
    padded = "echo fine" + " " * 5000 + "; touch pwned-by-padding"
    desk.plays(("Bash", {"command": padded}), text="It was asked.")
    desk.env["LETTA_SANDBOX"] = sandbox
    terminal = desk.opened(columns=columns, lines=30)
    terminal.until("Ask for a change", 60)
    terminal.send("go on\r")

    def typed() -> bool:
        terminal.send("y\r")  # typed blindly, until the card stands
        return "echo fine" in terminal.text and "padding" in terminal.text

    terminal.until(typed, 60)
    terminal.read(0.2)
    assert "pwned-by-padding" in "".join(terminal.text.split())
    assert not (desk.root / "pwned-by-padding").exists()
    assert len(desk.server.requests) >= 1


@pytest.mark.row("H06")
def test_ten_megabytes_in_one_line_and_graphics_leave_the_screen_alive(desk: Desk, sandbox: str) -> None:
    desk.env["LETTA_SANDBOX"] = sandbox
    (desk.root / "long").write_text("y" * 10_000_000)
    (desk.root / "sixel").write_text("\x1bPq" + "#0;2;0;0;0~~@@vv" * 10_000 + "\x1b\\" + "\x1b_Ga=T,f=100;AAAA\x1b\\")
    desk.plays(("Bash", {"command": "cat long"}), ("Bash", {"command": "cat sixel"}), text="the end of it")
    terminal = desk.opened("--mode", "auto")
    terminal.until("Ask for a change", 60)
    began = len(terminal.written)
    terminal.send("go on\r")
    terminal.send("typed meanwhile")
    terminal.until("typed meanwhile", 30)
    terminal.until("the end of it", 90)
    inert(terminal)
    assert len(terminal.written) - began < 2_000_000  # capped, not poured out
    terminal.send("\x03")
    terminal.send("/exit\r")
    assert terminal.ended(60) == 0
