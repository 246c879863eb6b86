"""What the faces without a screen say of the sandbox, as processes: one warning where none holds, never silence."""

from __future__ import annotations

import json
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
    assert NONE not in done.stdout.splitlines()[-1]
    assert "Done." in done.stdout


@pytest.mark.parametrize(
    ("wish", "mode", "words"),
    [
        ("off", "ask", "There is no sandbox, as LETTA_SANDBOX or the setting `sandbox` says"),
        ("landlock", "ask", "Landlock"),
        ("auto", "full", "Mode full: nothing is asked, and commands run without a sandbox."),
    ],
)
def test_less_than_all_is_said_also_where_it_was_wished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wish: str, mode: str, words: str
) -> None:
    if wish == "landlock" and landlock_version() < 3:
        pytest.skip("the kernel has no Landlock that could be wished")
    monkeypatch.setenv("LETTA_SANDBOX", wish)
    done = letta(tmp_path, "-p", "hello", "--mode", mode, "--output-format", "stream-json")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, told[0]["type"], told[-1]["result"]) == (0, "init", "Done.")
    assert told[0]["sandbox"] == ("off" if mode == "full" else wish)
    if wish != "landlock":  # what it holds is found out beside the run, which is too short here
        (notice,) = [one for one in told if one["type"] == "notice"]
        assert notice["code"] == "sandbox" and words in notice["text"]
    assert [words in line for line in done.stderr.splitlines() if line.startswith("warning")] == [True]


def test_the_plain_face_says_it_at_the_start_and_mode_says_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETTA_SANDBOX", "seatbelt")
    done = letta(tmp_path, "--plain", stdin="/mode\n/new\n/exit\n")
    assert "Mode: ask, no sandbox." in done.stdout
    start, _, rest = done.stdout.partition("> /mode")
    assert start.count(NONE) == 1
    assert rest.count(NONE) == 1  # the answer to /mode; the next conversation does not say it again
