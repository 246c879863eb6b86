"""Rows B: what a command text may smuggle.  Default mode ask, trusted folder; deny rm, curl, Read(.env)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import NamedTuple

import pytest

from letta_code.core import events as ev
from letta_code.core.requests import Approve, Deny
from tests.adversarial.stage import Stage

DENY, ASK, OK = "deny", "ask", "ok"


class Case(NamedTuple):
    """A row, a command and what is expected of it where a sandbox confines; `ok` is asked about without one."""

    id: str
    command: str
    expect: str


def row(id: str, expect: str, *commands: str) -> list[Case]:
    return [Case(id, command, expect) for command in commands]


CASES: list[Case] = [
    *row("B01", DENY, "ls && rm -rf x"),
    *row("B02", DENY, "ls; curl http://127.0.0.1:{port}/x"),
    *row("B03", ASK, "ls | sh", "cat f | bash"),
    *row("B04", DENY, "ls & rm -rf x"),
    *row("B05", DENY, "ls -la\nrm -rf x"),
    *row("B06", DENY, "echo $(rm -rf x)", "echo `rm -rf x`", 'echo "$(rm x)"'),
    *row("B07", DENY, "cat <(rm x)", "echo a | tee >(rm x)"),
    *row("B08", DENY, "{ rm x; }", "(rm x)", "if true; then rm x; fi", "for i in x; do rm $i; done", "f(){ rm x; }; f"),
    *row("B09", DENY, "env rm -rf x", "FOO=1 rm x", "command rm x", "\\rm x", "'r'm x", "/bin/rm x", "busybox rm x"),
    *row(
        "B10",
        DENY,
        "timeout 5 rm x",
        "nice -n 5 rm x",
        "nohup rm x",
        "setsid rm x",
        "stdbuf -o0 rm x",
        "xargs rm < f",
        "find . -name x -exec rm {} +",
    ),
    *row("B12", ASK, "a=rm; $a -rf x", "${a:-rm} x", "z=; r${z}m x"),
    *row(
        "B13",
        ASK,
        'eval "$(echo cm0gLXJmIHg= | base64 -d)"',
        "python3 -c \"import os;os.remove('x')\"",
        "perl -e 'unlink \"x\"'",
        "awk 'BEGIN{system(\"rm x\")}'",
        "sed '1e rm x' f",
        "vim -c ':!rm x' -c q",
    ),
    *row("B13", DENY, "bash -c 'rm x'"),
    *row("B14", ASK, "LD_PRELOAD=./e.so ls", "BASH_ENV=e.sh ls", "PATH=.:$PATH ls", "GIT_SSH_COMMAND=./x git status"),
    *row("B15", ASK, "ls > ~/.bashrc", "echo k >> ~/.ssh/authorized_keys"),
    *row("B15", OK, "ls >| f2", "ls &> f2", "ls 3>f2"),
    *row("B16", ASK, "echo x > /tmp/../etc/letta-row-b16"),
    *row(
        "B17", ASK, "find . -name nothing -delete", "find . -fprint f2", "find . -fprintf f2 %p", "find . -ok ls {} ;"
    ),
    *row("B18", ASK, "rg --pre ./x a", "rg --hostname-bin ./x a", "rg -z a f"),
    *row(
        "B19",
        ASK,
        "sort -o f2 f",
        "base64 -o f2 f",
        "tar -cf a.tar --to-command=./x f",
        "tar -cf a.tar --checkpoint=1 --checkpoint-action=exec=./x f",
        "zip -TT ./x a.zip f",
        "man -P ./x ls",
        "less +'!touch pwned' f",
    ),
    *row(
        "B20",
        ASK,
        "git log --output=f2",
        "git diff --no-index --output=f2 f x",
        "git grep -O./x p",
        "git -c core.pager=./x log",
        "git -C /other status",
        "git ls-remote 'ext::sh -c x'",
        "git branch -D main",
        "git --exec-path=. status",
    ),
    *row(
        "B22",
        ASK,
        "git reset --hard",
        "git clean -fdx",
        "git checkout -- .",
        "git stash drop",
        "git rm -rf .",
        "git push -f",
        "git rebase -x ./x main",
    ),
    *row("B24", DENY, "true && " * 60 + "rm x"),
    *row("B25", ASK, "ls " + "a" * 10_001),
    *row("B26", ASK, "ls\u202e", "ls\u200b", "ls\U000e0041", "ls" + "\t" * 500 + "f"),
    *row("B27", DENY, "ls # \nrm x", "cat << EOF\n$(rm x)\nEOF"),
    *row("B28", OK, "cat << 'EOF' > f2\nrm -rf x\nEOF"),
    *row("B29", OK, "echo 'rm -rf x'", 'grep -R "curl" sub'),
    *row(
        "B29", ASK, 'grep -R "curl" .'
    ),  # .env, which a rule denies, lies below: the word is data, the file is not read
    *row("B30", ASK, "cd / && cat etc/shadow", "pushd ..; ls", "cd sub && cat ../../outside/secret"),
    *row("B31", ASK, "alias ls='touch pwned'; ls", "function ls { touch pwned; }; ls", "enable -f ./e.so x"),
    *row("B31", ASK, "trap 'touch pwned' EXIT", "source ./x", "shopt -s expand_aliases"),
    *row("B32", ASK, "ls ~root", "ls {/etc,/root}", "ls /e*c/sh*w"),
    *row("B33", ASK, "ls &&& touch pwned"),
    *row("B35", OK, "echo hi && ls"),
]


STRICTER = {"B03", "B12", "B13"}  # a refusal of what can be read all the same is as good as a question


@pytest.mark.slow
@pytest.mark.row(*dict.fromkeys(case.id for case in CASES))
async def test_commands_that_are_not_approved_have_no_effect(
    stage: Stage, sandbox: str, record_property: Callable[[str, object], None]
) -> None:
    """All in one run, the person says no to whatever is asked; afterwards everything is as it was."""
    commands = [case.command.replace("{port}", str(stage.listener.port)) for case in CASES]
    session = await stage.open()
    try:
        found = await stage.each(session, commands)
    finally:
        await session.close()
    for case, verdict in zip(CASES, found, strict=True):
        record_property(case.id, f"{sandbox}:{verdict}")  # for the table of tests/rows.py
    assert [
        f"{case.id} {case.command[:60]!r}: {verdict}, not {case.expect}"
        for case, verdict in zip(CASES, found, strict=True)
        if not _expected(case, verdict, sandbox)
    ] == []
    assert stage.untouched
    assert not stage.listener.heard


def _expected(case: Case, found: str, sandbox: str) -> bool:
    if case.expect == OK:
        return found == "allow" or (sandbox != "bubblewrap" and found == "ask")
    return found == case.expect or (case.expect == ASK and found == "deny" and case.id in STRICTER)


@pytest.mark.row("B26")
async def test_what_is_asked_shows_the_whole_command(stage: Stage, sandbox: str) -> None:
    command = "touch pwned " + "# padding\u202e " * 40 + "; touch pwned"
    played = await stage.bash(command)
    assert played.verdict == "ask"
    (block,) = played.asked[0].blocks
    assert getattr(block, "command", "") == command
    assert stage.untouched


@pytest.mark.row("B11")
async def test_an_unknown_wrapper_is_held_by_the_sandbox(stage: Stage, sandbox: str) -> None:
    """Its script runs what it is given: a denied word behind it asks, and the sandbox holds what a yes lets run."""
    (stage.ws / "mywrap").write_text(f'#!/bin/sh\n"$@"\necho gone > {stage.outside}/secret\n')
    (stage.ws / "mywrap").chmod(0o755)
    asked = await stage.bash("./mywrap rm x")
    assert asked.verdict == "ask"
    assert stage.untouched
    if sandbox != "off":
        await stage.bash("./mywrap true", yes=True)
        assert stage.untouched


HIDDEN = [
    'eval "$(echo {encoded} | base64 -d)"',
    "bash -c 'unlink {out}/secret'",
    "python3 -c \"import os;os.remove('{out}/secret')\"",
    "perl -e 'unlink \"{out}/secret\"'",
    "awk 'BEGIN{{system(\"rm {out}/secret\")}}'",
    "sed '1e rm {out}/secret' f",
    "vim -c ':!rm {out}/secret' -c q",
]


@pytest.mark.row("B13")
async def test_a_yes_to_code_in_an_argument_reaches_no_further_than_the_sandbox(stage: Stage, sandbox: str) -> None:
    """S of the row: what the person let run does not remove a file outside; without a sandbox they are asked first."""
    encoded = base64.b64encode(f"rm -rf {stage.outside}/secret".encode()).decode()
    session = await stage.open()
    try:
        for text in HIDDEN:
            command = text.format(out=stage.outside, encoded=encoded)
            played = await stage.run(
                session, ("Bash", {"command": command}), answer=Deny() if sandbox == "off" else Approve()
            )
            assert played.verdict == "ask", command
            assert stage.untouched, command
    finally:
        await session.close()


@pytest.mark.row("B15", "B16")
@pytest.mark.parametrize(
    "command", ["ls > {home}/pwned", "echo x > {out}/secret", "exec > {home}/pwned; ls", "cp f {out}/secret"]
)
async def test_a_write_outside_that_hides_its_target_is_stopped(stage: Stage, sandbox: str, command: str) -> None:
    """The place stands in a script that the parser does not see: only the sandbox can hold it."""
    (stage.ws / "job.sh").write_text(command.format(home=stage.home, out=stage.outside) + "\n")
    played = await stage.bash("bash job.sh", yes=sandbox != "off")
    assert sandbox == "bubblewrap" or played.verdict == "ask"
    assert stage.untouched


@pytest.mark.row("B21")
async def test_git_status_in_an_untrusted_folder_runs_nothing(stage: Stage, sandbox: str) -> None:
    monitor = stage.ws / ".git" / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {stage.home}/pwned\n")
    monitor.chmod(0o755)
    stage.git("config", "core.fsmonitor", str(monitor))
    (stage.home / "pwned").unlink(missing_ok=True)
    await stage.play(("Git", {"subcommand": "status"}), trusted=False)
    assert stage.untouched


@pytest.mark.row("B22")
async def test_what_destroys_is_asked_about_behind_a_checkpoint(stage: Stage, sandbox: str) -> None:
    (stage.ws / "x").write_text("work of an hour\n")
    (stage.ws / "new").write_text("untracked\n")
    session = await stage.open()
    try:
        played = await stage.run(session, ("Bash", {"command": "git reset --hard", "needs": ""}), answer=Approve())
        assert played.verdict == "ask"
        points = [e for e in await session.log() if isinstance(e, ev.CheckpointMade)]
        assert points
    finally:
        await session.close()


@pytest.mark.row("B23")
@pytest.mark.parametrize("mode", ["ask", "auto", "full"])
@pytest.mark.parametrize("command", ["rm -fr /", "rm -r -f -- /", "rm --recursive --force $HOME", 'rm -rf "$UNSET/"*'])
async def test_the_end_of_everything_is_refused_in_every_mode(
    stage: Stage, sandbox: str, mode: str, command: str
) -> None:
    played = await stage.bash(command, mode=mode)
    assert played.verdict == "deny"
    assert stage.untouched


@pytest.mark.row("B26")
@pytest.mark.parametrize("command", ["ls\r; touch pwned", "ls \u2066touch pwned", "ls" + " " * 500 + "; touch pwned"])
async def test_hidden_characters_are_shown_to_who_is_asked(stage: Stage, sandbox: str, command: str) -> None:
    played = await stage.bash(command)
    assert played.verdict == "ask"
    assert stage.untouched


@pytest.mark.row("B26")
async def test_a_nul_is_refused(stage: Stage, sandbox: str) -> None:
    played = await stage.bash("ls\0; touch pwned")
    assert "NUL" in played.text
    assert stage.untouched


@pytest.mark.row("B34")
async def test_always_is_offered_for_the_command_alone(stage: Stage, sandbox: str) -> None:
    """What needs the network is asked about everywhere, so that there is an offer to look at."""
    played = await stage.bash("cd sub && npm install left-pad")
    assert played.verdict == "ask"
    assert [offer.pattern for offer in played.asked[0].offers] == ["Bash(npm install left-pad)"]
    for command in ("bash build.sh", "python3 x.py", "sudo ls", "env ls"):
        asked = (await stage.bash(command)).asked
        assert asked or sandbox == "bubblewrap", command  # there some run without a question
        found = [offer.pattern for request in asked for offer in request.offers]
        assert not any(
            pattern.endswith("*)") or pattern in ("Bash", "Bash(bash)", "Bash(python3)") for pattern in found
        )


@pytest.mark.row("B36")
async def test_an_allow_rule_never_lifts_a_deny(stage: Stage, sandbox: str) -> None:
    """Hooks do not exist yet; what may say allow is a rule, a flag, a mode."""
    stage._allow = (*stage._allow, "Bash(rm *)", "Bash(rm x)", "Bash")
    for mode in ("ask", "auto", "full"):
        assert (await stage.bash("rm x", mode=mode)).verdict == "deny"
    assert stage.untouched
