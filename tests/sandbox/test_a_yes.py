"""A yes to a question has its effect in the sandbox, and no more than the question said."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from letta_code.core.errors import NotStartedError
from letta_code.safety.containment import Containment, Grant
from letta_code.safety.operations import Decision, ExecOperation
from letta_code.safety.policy import Policy
from letta_code.safety.rules import Rules
from tests.sandbox.ground import Ground, works

pytestmark = works
CONFINED = Containment(kind="bubblewrap", confines=True)


def asked(ground: Ground, text: str, mode: str = "auto") -> Decision:
    """What is asked about a text, and what a yes gives."""
    here = Policy(
        mode,  # pyright: ignore[reportArgumentType] - a name from the test
        Rules(),
        root=str(ground.root),
        home=str(ground.home),
        letta_home=str(ground.letta),
        variables={},
        containment=lambda: CONFINED,
    )
    decision = here.decide("Bash", ExecOperation(command=text, cwd=str(ground.root)))
    assert decision.verdict == "ask", decision
    return decision


async def after_a_yes(ground: Ground, text: str) -> str:
    return await ground.said(text, asked(ground, text).grant)


@pytest.mark.parametrize("name", [".ssh/id_ed25519", ".netrc", ".config/gh/hosts.yml"])
async def test_a_secret_that_a_yes_was_given_to_is_read_and_no_other(ground: Ground, name: str) -> None:
    assert await after_a_yes(ground, f"cat ~/{name}") == "SECRET"
    said = await after_a_yes(ground, f"cat ~/{name}; cat ~/.aws/credentials")
    assert said.count("SECRET") == 2, "both were named"
    (ground.root / "x").write_text("cat ~/.ssh/id_ed25519 ~/.netrc ~/.config/gh/hosts.yml")
    assert (await after_a_yes(ground, f"cat ~/{name}; sh ./x")).count("SECRET") == 2


async def test_what_letta_code_keeps_stays_closed_and_the_question_says_so(ground: Ground) -> None:
    for text in ("cat ~/.letta/credentials.yaml", "echo x > ~/.letta/config.yaml", "touch ~/.letta/new"):
        decision = asked(ground, text)
        assert decision.grant == Grant() and "stays closed with a yes too" in decision.reason
        assert "SECRET" not in await ground.said(text, decision.grant)


async def test_a_new_file_opens_no_folder_with_keys_and_none_with_a_repository(ground: Ground) -> None:
    ground.repository(ground.folder / "projects/other")
    plain = ground.folder / "plain"
    plain.mkdir()
    for text in (
        "touch ~/.ssh/known_hosts",
        "touch ~/.config/new",
        "rm -r ~/.ssh",
        f"touch {ground.folder}/projects/other/new",
        f"touch {ground.folder}/projects/new",
        f"cp README.md {ground.folder}/projects",
        f"touch {ground.folder}/projects/other/.git/hooks/new",
    ):
        decision = asked(ground, f"./build.sh; {text}")
        assert decision.grant.outside and not decision.grant.writes, text
        assert "without the sandbox" in decision.reason and "Everything in this line" in decision.reason, text
    decision = asked(ground, f"touch {plain}/new; touch {plain}/beside")
    assert decision.grant == Grant(writes=(str(plain),))
    assert f"{plain}/new (a yes opens all of {plain}/)" in decision.reason
    await ground.sh(f"touch {plain}/new", decision.grant)
    assert (plain / "new").exists()


async def test_a_yes_to_git_beside_other_commands_opens_no_repository(ground: Ground) -> None:
    git = ground.repository()
    for text in ("git -c core.abbrev=9 stash list; touch .git/zz", "git -c alias.x='!touch .git/zz' rebase x"):
        await ground.sh(text, asked(ground, text).grant)
        assert not (git / "zz").exists(), text
    rebase = "git rebase HEAD"
    assert "up to date" in await ground.said(rebase, asked(ground, rebase).grant)


async def test_a_push_runs_no_hooks_that_nobody_said_yes_to(ground: Ground) -> None:
    git = ground.repository()
    bare = ground.root / "bare"
    subprocess.run(["git", "clone", "-q", "--bare", git, bare], check=True)
    (git / "hooks").mkdir(exist_ok=True)
    (git / "hooks/pre-push").write_text(f"#!/bin/sh\necho x > {ground.root}/ran\n")
    (git / "hooks/pre-push").chmod(0o755)
    await ground.sh("git push bare HEAD:refs/heads/x; true", Grant(network="proxy"))
    assert not (ground.root / "ran").exists()
    await ground.sh("git push bare HEAD:refs/heads/y; true", Grant(network="proxy", git=True, hooks=True))
    assert (ground.root / "ran").exists()


@pytest.mark.parametrize(
    ("settings", "text", "network"),
    [
        (["remote.origin.url=https://x.org/a"], "git fetch", "proxy"),
        (["remote.origin.url=https://x.org/a"], "git push -u origin main", "proxy"),
        (["remote.origin.url=git@x.org:a"], "git fetch", "open"),
        (["remote.origin.url=https://x.org/a", "remote.origin.pushurl=git@x.org:a"], "git push", "open"),
        (["remote.origin.url=https://x.org/a", "url.git@x.org:.insteadOf=https://x.org/"], "git pull", "open"),
        (["remote.origin.url=gh:a", "url.https://x.org/.insteadOf=gh:"], "git pull", "proxy"),
        (["remote.origin.url=https://x.org/a", "remote.up.url=git@x.org:a"], "git fetch origin", "proxy"),
        (["remote.origin.url=https://x.org/a", "remote.up.url=git@x.org:a"], "git fetch --all", "open"),
        (["remote.origin.url=https://x.org/a", "branch.main.remote=git@x.org:b"], "git pull", "open"),
        (["remote.origin.url=https://x.org/a"], "git fetch git@x.org:a", "open"),
        (["remote.origin.url=https://x.org/a"], "git fetch --depth 1 origin", "proxy"),
        (["remote.origin.url=git@x.org:a", "core.hooksPath=.husky/_", "alias.x=!y"], "git push -o x origin", "open"),
        ([], "git clone -b main git@x.org:a", "open"),
    ],
)
def test_git_gets_the_web_alone_where_its_remote_has_a_web_address(
    ground: Ground, settings: Sequence[str], text: str, network: str
) -> None:
    git = ground.repository()
    for setting in settings:
        key, _, value = setting.partition("=")
        subprocess.run(["git", "config", "--file", git / "config", key, value], check=True)
    decision = asked(ground, text)
    assert decision.grant == Grant(network="proxy" if network == "proxy" else "open", git=True, logins=True)
    assert ("ssh" in decision.reason) == (network == "open")


def test_a_persons_own_other_address_of_a_remote_counts(ground: Ground) -> None:
    git = ground.repository()
    subprocess.run(["git", "config", "--file", git / "config", "remote.origin.url", "https://x.org/a"], check=True)
    assert asked(ground, "git push").grant.network == "proxy"
    Path(ground.home, ".gitconfig").write_text('[url "git@x.org:"]\n\tpushInsteadOf = https://x.org/\n')
    assert asked(ground, "git push").grant.network == "open"


async def test_no_git_gets_keys_or_network_where_a_repository_below_names_programs(ground: Ground) -> None:
    """A rule or a yes may be older than the repository, and git goes into submodules."""
    ground.repository()
    await ground.sh("git init -q sub && git -C sub config core.sshCommand ./x; true")
    for grant in (Grant(network="open", git=True, logins=True), Grant(network="proxy", git=True)):
        with pytest.raises(NotStartedError, match=r"sub/.git names programs"):
            await ground.sh("cat ~/.ssh/id_ed25519", grant)
    await ground.sh("git add README.md", Grant(git=True))
    subprocess.run(["rm", "-r", ground.root / "sub"], check=True)
    assert await ground.said("cat ~/.ssh/id_ed25519", Grant(network="open", git=True, logins=True)) == "SECRET"


@pytest.mark.parametrize(
    ("settings", "text", "grant"),
    [
        ([], "git push ./evil HEAD:x", Grant()), ([], "git fetch", Grant()), ([], "git clone ./evil d", Grant()),
        ([], "git clone git@x.org:there d", Grant()), ([], "git push evil origin", Grant()),
        (["remote.origin.url=./evil"], "git fetch origin", Grant()),
        (["remote.origin.url=https://x.org/a", "remote.up.url=/srv/evil"], "git fetch --all", Grant()),
        (["remote.origin.url=https://x.org/a", "url.ext::sh -c.insteadOf=https:"], "git fetch", Grant()),
        (["remote.origin.url=https://x.org/a"], "git push --repo ./evil", Grant()),
        (["remote.origin.url=git@x.org:a", "core.sshCommand=./x"], "git fetch", Grant(network="open", git=True)),
        (["remote.origin.url=https://x.org/a", "credential.helper=!./x"], "git push", Grant(network="proxy", git=True)),
        (["remote.origin.url=https://x.org/a", "include.path=o"], "git fetch", Grant(network="open", git=True)),
        (["remote.origin.url=git@x.org:a"], "git fetch --upload-pack=./x", Grant(network="open")),
        (["remote.origin.url=git@x.org:a"], "git push --receive-pack ./x origin m", Grant(network="open")),
        (["remote.origin.url=git@x.org:a"], "git pull -s evil origin", Grant(network="open")),
        (["remote.origin.url=git@x.org:a"], "git fetch; git push ./evil x", Grant(network="proxy")),
        (["remote.origin.url=git@x.org:a"], "git rebase -x ./x m; git push", Grant(network="proxy")),
        ([], "git clone -c core.sshCommand=./x git@x.org:b", Grant(network="open")),
        ([], "git clone -qu ./x git@x.org:b", Grant(network="open")),
        ([], "git send-email --to-cmd=./x README.md", Grant(network="open")),
        ([], "git clone --conf a=b https://x.org/b", Grant(network="proxy")),
    ],
)  # fmt: skip
def test_what_else_runs_for_git_gets_no_logins_and_no_repository(
    ground: Ground, settings: Sequence[str], text: str, grant: Grant
) -> None:
    git = ground.repository()
    (ground.root / "git@x.org:there").mkdir()
    for setting in settings:
        key, _, value = setting.partition("=")
        subprocess.run(["git", "config", "--file", git / "config", key, value], check=True)
    assert asked(ground, text).grant == grant, asked(ground, text).reason


def test_a_question_says_why_git_gets_no_logins(ground: Ground) -> None:
    git = ground.repository()
    assert "no other machine" in asked(ground, "git push ./evil x").reason
    for key, value in (("core.sshCommand", "./x"), ("remote.origin.url", "git@x.org:a")):
        subprocess.run(["git", "config", "--file", git / "config", key, value], check=True)
    reason = asked(ground, "git fetch").reason
    assert "none of your credentials: the repository's configuration names programs (core.sshcommand)" in reason
    assert "could read" not in reason
