"""Questions about commands: what they say, the weightiest first, and that a yes gives what they say and no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.safety.containment import Grant
from letta_code.safety.operations import ExecOperation
from letta_code.safety.own_hooks import Hooks
from letta_code.safety.rules import Rules, parse_rules
from letta_code.safety.taint import Taints
from tests.safety.test_policy_sandbox import ROOT, policy, run

GIT = Grant(git=True)


@pytest.mark.parametrize(
    ("text", "grant"),
    [
        ("git rebase main", GIT), ("git commit $x", GIT), ("git merge -s evil x", GIT),
        ("git reset --hard | head", GIT),
        ("git -c user.name=x commit -m y", GIT), ("git -c core.abbrev=9 stash", GIT),
        # what an option runs, and what stands beside git, would have the repository too
        ("git -c core.pager=x commit -m y", Grant()), ("git -c core.fsmonitor='touch .git/zz' status", Grant()),
        ("git -c core.abbrev=9 stash list; touch .git/zz", Grant()), ("git rebase main; ./x", Grant()),
        ("git reset --hard && make", Grant()), ("git bisect run ./x", Grant()), ("PATH=. git rebase main", Grant()),
        # nor what the person logs in with
        ("git push", Grant(network="open", git=True, logins=True)),
        ("git add a && git commit -m x && git push 2>&1 | tail", Grant(network="open", git=True, logins=True)),
        ("git clone https://x.org/y", Grant(network="proxy", git=True, logins=True)),
        ("git fetch && python3 evil.py", Grant(network="proxy")),
        ("make; git push git@x.org:y", Grant(network="proxy")),
        ("git -c core.sshCommand=./x fetch", Grant(network="open")),
    ],
)  # fmt: skip
def test_a_yes_opens_the_repository_and_logs_in_only_where_nothing_but_git_runs(text: str, grant: Grant) -> None:
    decision = run(text)
    assert (decision.verdict, decision.grant) == ("ask", grant), decision.reason


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("git push", "It needs the network: `git push`. It would have your whole network (not only the web through a "
         "proxy) and could read your git and ssh credentials."),
        ("git fetch && python3 x.py", "It needs the network, but beside other programs git gets neither your "
         "credentials nor the repository: `git fetch`. All of this line would have the web (through a proxy)."),
        ("git push origin main; ssh host ls", "It needs the network, but beside other programs git does not get the "
         "repository: `git push origin main`. It needs the network: `ssh host ls`. All of this line would have your "
         "whole network (not only the web through a proxy) and could read your git and ssh credentials."),
        ("npm ci", "It needs the network: `npm ci`."),
        ("ssh h ls | ./x", "All of this line would have your whole network (not only the web through a proxy) and "
         "could read your git and ssh credentials."),
        ("git rebase x; make", "It changes a repository, but beside other programs it stays closed: `git rebase x`"),
        ("git -c a=b commit -m x", "may run a program or write, with the repository closed: `git -c a=b commit -m x`."),
        # the weightiest first, the same kind together, and what is left out counted
        ("pip install x && npm ci && PATH=. make && find . -delete && git config a.b c && rm -rf src "
         "&& echo x > /opt/f",
         "It may destroy work that nothing brings back: `rm -rf src`. It changes git's configuration, outside the "
         "sandbox: `git config a.b c`. It would write outside the work tree, without the sandbox: /opt/f. "
         "And 3 more reasons. Everything in this line would then run outside"),
        ("pip install x && npm ci", "It needs the network: `pip install x`, `npm ci`."),
    ],
)  # fmt: skip
def test_a_question_says_what_a_yes_gives(text: str, said: str) -> None:
    assert said in run(text).reason


def test_after_text_from_outside_a_question_says_first_what_it_is_about() -> None:
    tainted = policy("auto").with_taints(Taints(sources=("the page x.org",)))
    reason = tainted.decide("Bash", ExecOperation(command="git push; echo x > /opt/f", cwd=ROOT)).reason
    order = ("/opt/f", "`git push`", "Everything in this line", "text from outside")
    places = [reason.index(part) for part in order]
    assert places == sorted(places)


def test_an_ask_rule_does_not_hide_what_a_yes_gives() -> None:
    rules = Rules.of(parse_rules(["Bash(git *)"], "ask"))
    reason = policy(rules=rules).decide("Bash", ExecOperation(command="git push", cwd=ROOT)).reason
    assert reason.startswith("The rule Bash(git *) asks. It needs the network: `git push`.")


@pytest.mark.parametrize(
    ("text", "hook"),
    [
        ("git commit --amend -m x", "post-rewrite"), ("git commit -m x", "pre-auto-gc"), ("git merge x", "pre-auto-gc"),
        ("git merge --continue", "pre-commit"), ("git restore a", "post-checkout"), ("git add x", "post-index-change"),
        ("git tag v1", "reference-transaction"), ("git cherry-pick --continue", "pre-commit"),
        ("git fetch", "pre-auto-gc"), ("git pull --rebase", "post-rewrite"), ("git stash branch x", "post-checkout"),
    ],
)  # fmt: skip
def test_every_hook_that_git_would_run_is_asked_about(text: str, hook: str) -> None:
    decision = policy("auto", hooks=Hooks(waiting=(hook,))).decide("Bash", ExecOperation(command=text, cwd=ROOT))
    assert decision.verdict == "ask" and hook in decision.reason


def test_hooks_run_only_where_none_of_them_waits() -> None:
    """They are switched on together: a yes to one must not run another, and one that waits must not switch it off."""
    partly = policy("auto", hooks=Hooks(waiting=("post-checkout",), agreed=True))
    commit = partly.decide("Bash", ExecOperation(command="git commit -m x", cwd=ROOT))
    assert commit.verdict == "ask" and "post-checkout" in commit.reason
    assert partly.decide("Bash", ExecOperation(command="git add x", cwd=ROOT)).grant == Grant(git=True)
    beside = partly.decide("Bash", ExecOperation(command="make && git commit -m x", cwd=ROOT))
    assert not beside.grant.hooks and not beside.grant.git


@pytest.mark.parametrize(
    ("text", "hooks", "why"),
    [
        ("git add -A && git commit -m x", True, ""), ("git commit -m x 2>/dev/null", True, ""),
        ("git commit -m x && git push", True, ""),
        ("echo x > .husky/pre-commit && git add -A && git commit -m x", False, "> .husky/pre-commit"),
        ("git switch x", False, "git switch"), ("git merge x", False, "git merge"), ("git pull", False, "git pull"),
        ("git stash", False, "git stash"), ("git restore a && git commit -m x", False, "git restore"),
        ("git checkout x -- .husky; git commit -m x", False, "git checkout"), ("git rebase x", False, "git rebase"),
        ("git mv a .husky/pre-commit && git commit -m x", False, "git mv"), ("git reset --hard x", False, ""),
        ("git apply p && git commit -m x", False, "git apply"), ("make; git push", False, "stays closed"),
    ],
)  # fmt: skip
def test_hooks_of_the_work_tree_run_only_where_the_line_leaves_them_as_they_were(
    text: str, hooks: bool, why: str
) -> None:
    names = ("pre-commit", "post-checkout", "post-merge", "pre-rebase", "pre-push")
    for waiting in ((), ("post-merge",)):
        known = Hooks(agreed=True, names=names, tracked=True, waiting=waiting)
        decision = policy("auto", hooks=known).decide("Bash", ExecOperation(command=text, cwd=ROOT))
        if waiting and hooks:
            assert decision.verdict == "ask" and "own hooks" in decision.reason
        else:
            assert decision.grant.hooks is hooks and "own hooks" not in decision.reason.partition("credentials")[0]
            assert waiting or (why in decision.grant.hooks_off and bool(decision.grant.hooks_off) is bool(why))


def test_a_repository_within_the_work_tree_does_not_run_its_hooks_by_a_yes_to_those_of_the_tree(tmp_path: Path) -> None:
    (tmp_path / "sub/.git").mkdir(parents=True)
    for hooks in (Hooks(agreed=True, names=("pre-commit",)), Hooks(waiting=("pre-commit",), names=("pre-commit",))):
        known = policy("auto", hooks=hooks, root=str(tmp_path))
        for text in ("cd sub && git commit -m x", "git -C sub commit -m x", "cd sub && git rebase x"):
            grant = known.decide("Bash", ExecOperation(command=text, cwd=str(tmp_path))).grant
            assert not grant.hooks, text
            assert not grant.git or "another repository" in grant.hooks_off, text


def test_a_yes_to_hooks_opens_no_repository_that_stays_closed() -> None:
    waiting = policy("auto", hooks=Hooks(waiting=("pre-push",), names=("pre-push",)))
    decision = waiting.decide("Bash", ExecOperation(command="git push ./other x", cwd=ROOT))
    assert decision.verdict == "ask" and not decision.grant.git and not decision.grant.hooks, decision


def test_hooks_with_a_yes_run_for_asked_git_too_and_the_card_says_that_they_could_log_in() -> None:
    known = policy("auto", hooks=Hooks(agreed=True, names=("pre-push",)))
    push = ExecOperation(command="git push", cwd=ROOT)
    decision = known.decide("Bash", push)
    assert decision.grant.hooks and "credentials (the repository's own hooks" in decision.reason
    assert not known.yes("Bash", [push]), "this yes is to the push alone"
    assert known.decide("Bash", ExecOperation(command="git rebase main", cwd=ROOT)).grant.hooks


def test_a_yes_to_hooks_never_stands_behind_a_number() -> None:
    text = "git reset --hard; cat ~/.netrc; git fetch origin; git commit $x; git commit -m x"
    waiting = policy(hooks=Hooks(waiting=("pre-commit",)))
    reason = waiting.decide("Bash", ExecOperation(command=text, cwd=ROOT)).reason
    assert "own hooks (pre-commit) would run" in reason and "And 1 more reason." in reason


def test_a_yes_to_hooks_says_that_it_lasts_and_no_rule_stands_for_it() -> None:
    commit = ExecOperation(command="git commit --allow-empty -m x", cwd=ROOT)
    rules = Rules.of(parse_rules(["Bash(git commit *)"], "allow"))
    waiting = policy(hooks=Hooks(waiting=("pre-commit",)), rules=rules)
    assert waiting.decide("Bash", commit).verdict == "ask" and not waiting.offers("Bash", commit)
    assert "until they change" in waiting.yes("Bash", [commit])
    assert policy().yes("Bash", [ExecOperation(command="git push", cwd=ROOT)]) == ""


def test_explain_of_a_refusal_and_of_what_the_sandbox_holds_says_no_more_than_is_so() -> None:
    refused = policy().explain("Bash", ExecOperation(command="rm -rf /", cwd=ROOT))
    assert "no rule changes that" in refused
    assert not any("no rule covers it" in line or "checkpoint" in line for line in refused)
    held = policy().explain("Bash", ExecOperation(command="python -m pytest", cwd=ROOT))
    assert held[0].startswith("allow") and any(line.endswith("; the sandbox holds it") for line in held)
    keys = policy().explain("Bash", ExecOperation(command="git push", cwd=ROOT))
    assert any("what git logs in with and the keys of ssh" in line for line in keys)


@pytest.mark.parametrize("text", ["cat > a <<< x", 'grep -c a 2>/dev/null <<< "$x"', "wc -l >> a <<<'b c'"])
def test_a_here_string_behind_another_redirection_is_no_question(text: str) -> None:
    assert run(text).verdict == "allow", run(text)
    assert run(f"{text}; curl x.org").verdict == run(f"{text} > /etc/x").verdict == "ask"


def test_a_name_that_no_file_can_have_is_asked_about_and_is_no_fault() -> None:
    assert run("cat /x\ud800").verdict == "ask"


def test_git_beside_what_is_only_known_when_it_runs_gets_nothing_and_is_no_fault() -> None:
    assert not run("let 'a[$(rm x)]=1'; git commit -m x", "auto").grant.git


@pytest.mark.parametrize(
    "text",
    ["git apply --unsafe-paths x", "git apply --directory=.git/hooks x", "git interpret-trailers --in-place .git/x",
     "git format-patch -o .git/refs -1", "git mailinfo .git/m .git/p", "git mailsplit -o.git x"],
)  # fmt: skip
def test_what_writes_a_file_anywhere_is_no_everyday_git(text: str) -> None:
    assert run(text).verdict == "allow"
    assert run(f"git add a && {text}").grant == Grant()


def test_an_ssh_of_the_work_tree_logs_in_nowhere() -> None:
    assert run("ssh host").grant.logins and not run("./bin/ssh host").grant.logins


def test_git_says_an_address_without_the_network() -> None:
    assert run("git ls-remote --get-url origin") == run("git status")
