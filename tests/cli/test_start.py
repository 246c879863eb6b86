"""The command line as processes: flags, help, exit codes, where the prompt comes from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from letta_code.cli._flags import Flag, parse, seconds_of, whole_number
from letta_code.cli._start import FLAGS, help_text, verbs
from letta_code.core.errors import UsageError

LETTA = [sys.executable, "-I", "-m", "letta_code"]
SCRIPT = """\
turns:
  - text: Hello from the script.
answers:
  - text: And again.
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "script.yaml"
    path.write_text(SCRIPT)
    return f"scripted:{path}"


def letta(*argv: str, cwd: Path | None = None, stdin: str = "", **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*LETTA, *argv],
        input=stdin,
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
        timeout=30,
        check=False,
    )


# ---------------------------------------------------------------- flags


TABLE = (
    Flag(names=("-p", "--print"), metavar="PROMPT", optional=True, help=""),
    Flag(names=("--allow",), metavar="RULE", repeat=True, help=""),
    Flag(names=("--mode",), metavar="MODE", choices=("ask", "auto"), help=""),
    Flag(names=("--pair",), metavar="A B", values=2, help=""),
    Flag(names=("--quiet",), help=""),
)


def test_values_come_with_a_space_or_an_equals_sign() -> None:
    parsed = parse(["--mode=auto", "dir", "--allow", "a", "--allow=b=c", "--quiet", "--pair", "x", "y"], TABLE)
    assert parsed.words == ("dir",)
    assert parsed.flags == {"mode": "auto", "allow": ("a", "b=c"), "quiet": True, "pair": ("x", "y")}


def test_a_prompt_may_begin_with_a_dash_but_is_no_flag() -> None:
    assert parse(["-p", "- fix the list"], TABLE).text("print") == "- fix the list"
    assert parse(["-p", "--verbose is broken"], TABLE).text("print") == "--verbose is broken"
    assert parse(["-p", "--quiet"], TABLE).flags == {"print": None, "quiet": True}
    assert parse(["--quiet", "--", "--mode"], TABLE).words == ("--mode",)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--mod", "ask"], "did you mean --mode?"),
        (["--mode"], "--mode needs MODE"),
        (["--mode", "wild"], "one of ask, auto"),
        (["--mode", "ask", "--mode", "auto"], "twice"),
        (["--quiet=1"], "takes no value"),
        (["--pair", "x"], "--pair needs A B"),
        (["--pair", "x", "--quiet"], "--pair needs A B"),
    ],
)
def test_a_wrong_flag_says_what_is_wrong(argv: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(argv, TABLE)
    assert words in str(caught.value)


def test_bytes_that_are_not_utf8_do_not_reach_the_json() -> None:
    assert parse(["-p", b"caf\xe9".decode("utf-8", "surrogateescape")], TABLE).text("print") == "caf\ufffd"


def test_times_and_numbers() -> None:
    assert [seconds_of(text, "--t") for text in ("90", "90s", "1.5m", "2h")] == [90, 90, 90, 7200]
    assert whole_number("7", "--n") == 7
    for wrong in ("0", "-1", "x", "", "nan", "inf", "1d"):
        with pytest.raises(UsageError):
            seconds_of(wrong, "--t")
        with pytest.raises(UsageError):
            whole_number(wrong, "--n")
    with pytest.raises(UsageError):
        whole_number("²", "--n")


def test_help_names_every_flag_and_verb_with_a_sentence() -> None:
    text = help_text()
    for flag in FLAGS:
        assert flag.names[-1] in text and flag.help.endswith(".")
        assert " ".join(flag.help.split()[:3]) in text
    for verb in verbs():
        line = next(line for line in text.splitlines() if line.startswith(f"  {verb} "))
        assert len(line.split(None, 1)[1]) > 20


@pytest.mark.parametrize("verb", verbs())
def test_every_verb_has_help(verb: str) -> None:
    done = letta(verb, "--help")
    assert done.returncode == 0 and f"letta-code {verb}" in done.stdout and done.stderr == ""


def test_verbs_import_nothing_heavy() -> None:
    heavy = "{'httpx', 'litellm', 'textual', 'prompt_toolkit', 'apsw', 'yaml', 'tiktoken'}"
    code = f"from letta_code.cli._start import help_text as h; import sys; h(); print({heavy} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# ---------------------------------------------------------------- processes


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--modle", "x"], "did you mean --mod"),
        (["nofolder"], "There is no folder nofolder"),
        (["modelz"], "did you mean `letta-code models`?"),
        (["-p", "x", "a", "b"], "One folder at a time"),
        (["-p", "x", "--max-turns", "none"], "--max-turns none"),
        (["-p", "x", "--time-limit", "-3"], "--time-limit -3"),
        (["-p", "x", "--continue", "--resume", "conv-1"], "do not go together"),
        (["-p", "x", "--plain"], "do not go together"),
        (["-p", "x", "--prompt-file", "f"], "do not go together"),
        (["-p", "x", "--input-format", "stream-json"], "comes on stdin"),
        (["--input-format", "stream-json", "--output-format", "json"], "needs --output-format stream-json"),
        (["-p", "x", "--allow", "Bash(("], "rule"),
        (["-p", "x", "--resume", "conv-unknown"], "conv-unknown"),
        (["--prompt-file", "/nonexistent/file"], "cannot be read"),
        (["--prompt-file", "/"], "is not a file"),
        (["-p", "  "], "There is no prompt"),
        (["-p", ""], "There is no prompt"),
        ([], "There is no prompt"),
        (["export"], "one conversation's id"),
        (["configure"], "asks questions"),
    ],
)
def test_usage_errors_are_2_with_words_on_stderr_only(argv: list[str], words: str, script: str, tmp_path: Path) -> None:
    done = letta(*argv, cwd=tmp_path, LETTA_MODEL=script)
    assert (done.returncode, done.stdout) == (2, ""), done
    assert words in done.stderr and "Traceback" not in done.stderr


def test_the_prompt_comes_from_flag_file_or_stdin(script: str, tmp_path: Path) -> None:
    (tmp_path / "prompt.txt").write_bytes("\ufeffgrüß dich".encode())
    for argv, stdin in (
        (["-p", "hi"], ""),
        (["--prompt-file", "prompt.txt"], ""),
        ([], "hi"),
        (["-p"], "hi"),
        (["-p", "-"], "hi"),
    ):
        done = letta(*argv, stdin=stdin, cwd=tmp_path, LETTA_MODEL=script)
        assert (done.returncode, done.stdout) == (0, "Hello from the script.\n"), done


def test_the_newest_conversation_goes_on_and_a_named_one_too(script: str, tmp_path: Path) -> None:
    first = json.loads(letta("-p", "one", "--output-format", "json", cwd=tmp_path, LETTA_MODEL=script).stdout)
    second = json.loads(
        letta("-p", "two", "--continue", "--output-format", "json", cwd=tmp_path, LETTA_MODEL=script).stdout
    )
    third = json.loads(
        letta(
            "-p", "3", "-r", first["conversation_id"], "--output-format", "json", cwd=tmp_path, LETTA_MODEL=script
        ).stdout
    )
    assert first["conversation_id"] == second["conversation_id"] == third["conversation_id"]
    assert [one["result"] for one in (first, second, third)] == ["Hello from the script.", "And again.", "And again."]


def test_resuming_in_stream_json_does_not_repeat_what_was_before(script: str, tmp_path: Path) -> None:
    letta("-p", "one", cwd=tmp_path, LETTA_MODEL=script)
    done = letta("-p", "two", "-c", "--output-format", "stream-json", cwd=tmp_path, LETTA_MODEL=script)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert told[0]["resumed"] is True and told[0]["last_seq"] > 0
    durable = [line["seq"] for line in told[1:] if "seq" in line]
    assert durable == list(range(told[0]["last_seq"] + 1, told[0]["last_seq"] + 1 + len(durable)))
    assert [line["content"][0]["text"] for line in told if line["type"] == "user_message"] == ["two"]


def test_no_model_is_a_configuration_error_and_the_prompt_is_kept(tmp_path: Path) -> None:
    done = letta("-p", "remember me", "--output-format", "json", cwd=tmp_path)
    result = json.loads(done.stdout)
    assert (done.returncode, result["error"]["kind"]) == (1, "config")
    assert "letta-code configure" in done.stderr
    exported = letta("export", result["conversation_id"], cwd=tmp_path).stdout
    assert "remember me" in exported


def test_mistakes_in_the_settings_are_said_and_the_run_goes_on(script: str, tmp_path: Path, letta_home: Path) -> None:
    letta_home.mkdir()
    (letta_home / "config.yaml").write_text("max_turns: many\n")
    done = letta("-p", "hi", cwd=tmp_path, LETTA_MODEL=script)
    assert (done.returncode, done.stdout) == (0, "Hello from the script.\n")
    assert "config.yaml:1: max_turns expected int" in done.stderr


def test_a_projects_mode_is_ignored_with_a_word(script: str, tmp_path: Path) -> None:
    (tmp_path / ".letta").mkdir()
    (tmp_path / ".letta" / "config.yaml").write_text("mode: full\n")
    done = letta("-p", "hi", "--output-format", "stream-json", cwd=tmp_path, LETTA_MODEL=script)
    assert json.loads(done.stdout.splitlines()[0])["mode"] == "ask"
    (line,) = [line for line in done.stderr.splitlines() if "config.yaml" in line]
    assert "is not trusted: .letta/config.yaml is not used" in line
    done = letta("-p", "hi", "--trust", "--output-format", "stream-json", cwd=tmp_path, LETTA_MODEL=script)
    assert json.loads(done.stdout.splitlines()[0])["mode"] == "ask"
    assert "mode is never taken from a project's file" in done.stderr


def test_conversations_and_export(script: str, tmp_path: Path) -> None:
    assert "no conversation" in letta("conversations", cwd=tmp_path).stdout
    letta("-p", "find the bug", cwd=tmp_path, LETTA_MODEL=script)
    assert "find the bug" in letta("conversations", cwd=tmp_path).stdout
    (listed,) = json.loads(letta("conversations", "--json", cwd=tmp_path).stdout)
    assert listed["message_count"] == 2 and listed["cwd"] == str(tmp_path)
    assert "no conversation" in letta("conversations", str(tmp_path.parent)).stdout
    assert "find the bug" in letta("conversations", "--all", cwd=tmp_path.parent).stdout
    lines = letta("export", listed["id"]).stdout.splitlines()
    assert [json.loads(line)["seq"] for line in lines] == list(range(1, len(lines) + 1))
    done = letta("export", listed["id"], "-o", "out.jsonl", cwd=tmp_path)
    assert done.returncode == 0 and (tmp_path / "out.jsonl").read_text().splitlines() == lines


def test_a_folder_that_shares_a_verbs_name_is_meant_with_its_path(script: str, tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    done = letta("./demo", "-p", "hi", "--output-format", "stream-json", cwd=tmp_path, LETTA_MODEL=script)
    assert json.loads(done.stdout.splitlines()[0])["cwd"] == str(tmp_path / "demo")


def test_output_to_a_reader_that_went_away_is_quiet(tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {' '.join(LETTA)} --help | true"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""


def shell(line: str, path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """A command line of bash, in which `$LETTA` is the program."""
    return subprocess.run(
        ["bash", "-c", line],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=path,
        env={**os.environ, "LETTA": " ".join(LETTA), **env},
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize("words", ["--version", "--help", "models --json", "conversations"])
def test_a_full_disk_or_a_closed_stdout_is_told_without_a_traceback(words: str, tmp_path: Path) -> None:
    full = shell(f"$LETTA {words} >/dev/full", tmp_path)
    assert full.returncode == 1 and "stdout: No space left on device" in full.stderr
    assert "Traceback" not in full.stderr and "Exception ignored" not in full.stderr
    closed = shell(f"$LETTA {words} >&-", tmp_path)
    assert "Traceback" not in closed.stderr and closed.returncode in (0, 1)


def test_an_answer_that_cannot_be_written_is_an_error(script: str, tmp_path: Path) -> None:
    for form in ("text", "json", "stream-json"):
        done = shell(f"$LETTA -p hi --output-format {form} >/dev/full", tmp_path, LETTA_MODEL=script)
        assert done.returncode == 1 and "stdout: No space left on device" in done.stderr, form
        assert "Traceback" not in done.stderr


def test_a_closed_stdout_does_not_become_the_database(script: str, tmp_path: Path) -> None:
    done = shell("$LETTA -p hi >&-", tmp_path, LETTA_MODEL=script)
    assert done.returncode == 1 and "stdout: Bad file descriptor" in done.stderr
    assert "hi" in shell("$LETTA conversations", tmp_path).stdout


@pytest.mark.parametrize("words", ["models", "configure --model scripted:x --no-test", "conversations", "-p hi"])
def test_a_removed_folder_is_a_sentence(words: str, tmp_path: Path) -> None:
    done = shell(f"mkdir gone && cd gone && rmdir ../gone && $LETTA {words}", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "folder that this shell is in was removed" in done.stderr and "Traceback" not in done.stderr


def test_a_file_where_our_folder_should_be_is_no_bug(script: str, tmp_path: Path, letta_home: Path) -> None:
    letta_home.mkdir()
    (letta_home / "run").touch()
    for words in ("-p hi", "conversations"):
        done = shell(f"$LETTA {words}", tmp_path, LETTA_MODEL=script)
        assert done.returncode == 1 and "a file stands where its folder should be" in done.stderr, done
        assert "Traceback" not in done.stderr and "This is a bug" not in done.stderr
