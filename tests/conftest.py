"""Every test gets a home of its own: no test reads or writes the person's files, keys or git identity."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandboxes import sandbox  # noqa: F401  # a fixture

# What a developer's shell may hold and a test must not see: keys and endpoints of model providers, our own settings,
# another repository's git environment (set while hooks run), and the colour and terminal wishes of the surroundings.
_CLEARED_PREFIXES = ("LETTA_", "GIT_", "OPENAI_", "ANTHROPIC_", "OPENROUTER_", "AZURE_", "AWS_", "XDG_")
_CLEARED_SUFFIXES = ("_API_KEY", "_API_BASE", "_API_TOKEN", "_BASE_URL", "_AUTH_TOKEN")
_CLEARED_NAMES = {
    "ALL_PROXY",
    "COLORTERM",
    "FORCE_COLOR",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_COLOR",
    "all_proxy",
    "http_proxy",
    "https_proxy",
}


@pytest.fixture(autouse=True)
def letta_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point HOME and LETTA_HOME at fresh folders, clear keys and settings, give git an identity; returns LETTA_HOME.

    LETTA_HOME itself is not created: the program must make it (0700) when it first needs it.
    """
    home = tmp_path_factory.mktemp("home")
    for name in list(os.environ):
        if name.startswith(_CLEARED_PREFIXES) or name.endswith(_CLEARED_SUFFIXES) or name in _CLEARED_NAMES:
            monkeypatch.delenv(name)
    letta = home / ".letta"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LETTA_HOME", str(letta))
    # Most tests are about something else, and must pass where no sandbox works; tests/sandbox turns it on.
    monkeypatch.setenv("LETTA_SANDBOX", "off")
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "Test Person")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "test@example.invalid")
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost,::1")
    return letta


@pytest.fixture(autouse=True)
def _same_working_directory() -> Iterator[None]:
    """A test that changes the working directory puts nobody else out."""
    before = Path.cwd()
    yield
    os.chdir(before)


@pytest.fixture(scope="session", autouse=True)
def _programs_are_told_that_a_terminal_closed() -> None:
    """Under nohup SIGHUP is ignored, which programs that a test starts would inherit; a handler they do not."""
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda _number, _frame: None)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that the tests run in."""
    return Path(__file__).resolve().parent.parent
