"""What the faces without a screen say of the sandbox, as processes: one warning where none holds, never silence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from letta_code.host.probe import landlock_version

NONE = "The sandbox 'seatbelt' does not work on this system."
pytestmark = pytest.mark.skipif(sys.platform == "darwin", reason="there the wish of these tests works")


def letta(folder: Path, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    script = folder / "script.yaml"
    script.write_text(yaml.safe_dump([{"text": "Done."}, {"text": "Done."}]), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-I", "-m", "letta_code", *argv, "--model", f"scripted:{script}"],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("form", ["text", "json", "stream-json"])
def test_headless_warns_once_on_stderr(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setenv("LETTA_SANDBOX", "seatbelt")
    done = letta(tmp_path, "-p", "hello", "--output-format", form)
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if "sandbox" in line] == [
        f"warning: {NONE} Commands run with all of your rights, so each one is asked about."
    ]
    assert NONE not in done.stdout
    assert "Done." in done.stdout


@pytest.mark.parametrize("wish", ["off", "landlock"])
def test_what_was_wished_needs_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str) -> None:
    if wish == "landlock" and landlock_version() < 3:
        pytest.skip("the kernel has no Landlock that could be wished")
    monkeypatch.setenv("LETTA_SANDBOX", wish)
    done = letta(tmp_path, "-p", "hello")
    assert (done.returncode, done.stdout) == (0, "Done.\n")
    assert "warning" not in done.stderr


def test_the_plain_face_says_it_at_the_start_and_mode_says_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_SANDBOX", "seatbelt")
    done = letta(tmp_path, "--plain", stdin="/mode\n/new\n/exit\n")
    assert "Mode: ask, no sandbox." in done.stdout
    start, _, rest = done.stdout.partition("> /mode")
    assert start.count(NONE) == 1
    assert rest.count(NONE) == 1  # the answer to /mode; the next conversation does not say it again
