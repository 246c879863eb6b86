"""Findings of a review of the policy: what an allow rule must not open, and what a deny rule must not overlook."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from letta_code.safety.containment import NO_CONTAINMENT, Containment, Grant
from letta_code.safety.destruction import is_destructive
from letta_code.safety.git_commands import git_effect
from letta_code.safety.named_paths import Where, private_outside
from letta_code.safety.operations import Decision, ExecOperation, WriteOperation
from letta_code.safety.option_effects import option_effect
from letta_code.safety.policy import Policy
from letta_code.safety.rules import Rules, parse_rules
from letta_code.safety.shell_syntax import read_shell
from letta_code.safety.taint import Taints, why_ask

CONFINED = Containment(kind="bubblewrap", confines=True)


def decide(
    text: str, root: str = "/w/app", *, allow: tuple[str, ...] = (), deny: tuple[str, ...] = (), confined: bool = True
) -> Decision:
    rules = Rules.of([*parse_rules(allow, "allow"), *parse_rules(deny, "deny")])
    held = CONFINED if confined else NO_CONTAINMENT
    policy = Policy("ask", rules, root=root, home="/home/me", variables={}, containment=lambda: held)
    return policy.decide("Bash", ExecOperation(command=text, cwd=root))


@pytest.mark.parametrize("confined", [True, False])
@pytest.mark.parametrize(
    "text",
    ["cat < /dev/tcp/1.2.3.4/80", "pytest -q; cat < /dev/tcp/x.org/80", "pytest < /dev/udp/x/53",
     "exec 3<>/dev/tcp/x/1; cat <&3", "cat < ~/.ssh/id_rsa", "cat < /home/me/.ssh/id_rsa", "cat < ../outside/secret",
     "cat < /etc/shadow", "cd sub && cat < ../../x", "while read l; do echo $l; done < /etc/passwd",
     "env bash -c 'cat < /etc/shadow'", "env bash -c 'cat < /dev/tcp/x/1'"],
)  # fmt: skip
def test_no_rule_covers_what_a_redirection_reads_outside(text: str, confined: bool) -> None:
    decision = decide(text, allow=("Bash(cat *)", "Bash(pytest *)", "Bash(read *)", "Bash(env *)"), confined=confined)
    assert decision.verdict == "ask", decision


def test_a_rule_covers_what_a_redirection_reads_inside(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("x")
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / ".env").write_text("x")
    for text, verdict in {
        "cat < in.txt": "allow", "cat < /dev/null": "allow", "cat < link": "ask", "cat < .env": "ask",
    }.items():  # fmt: skip
        assert decide(text, str(tmp_path), allow=("Bash(cat *)",), confined=False).verdict == verdict, text


def test_a_rule_grants_the_needs_of_its_commands_only() -> None:
    assert decide("npm ci", allow=("Bash(npm ci)",)).grant == Grant(network="proxy")
    assert decide("npm ci > /dev/null", allow=("Bash(npm ci)",)).grant == Grant(network="proxy")
    exact = "env bash -c 'cat < /dev/tcp/x/1'"
    decision = decide(exact, allow=(f"Bash({exact})",))
    assert (decision.verdict, decision.grant) == ("allow", Grant())  # it runs, without the network
    bare = decide("npm ci; cat < /dev/tcp/x/1", allow=("Bash",))
    assert (bare.verdict, bare.grant.network) == ("allow", "open")


@pytest.mark.parametrize(
    "text",
    ["git grep --open=x p", "git grep --ope=x p", "git fetch --uplo=x", "git merge --strat=evil x", "git tag --edi x",
     "git add --edi", "git log --outpu=f", "git rebase --ex x main", "git merge --strat evil x",
     "git archive --remo=x HEAD"],
)  # fmt: skip
def test_a_long_option_of_git_that_is_cut_short_is_the_option(text: str) -> None:
    assert git_effect(tuple(text.split())).effect == "runs"
    assert decide(text, allow=("Bash(git *)",), confined=False).verdict == "ask"


@pytest.mark.parametrize(
    "text",
    ["git push --mirr", "git push --forc", "git reset --har", "git checkout --forc x", "git switch --disc x",
     "git commit --amen", "git branch --delet --forc x", "rm --recurs x", "rm --forc x"],
)  # fmt: skip
def test_what_destroys_does_so_cut_short_too(text: str) -> None:
    assert is_destructive(tuple(text.split()))


@pytest.mark.parametrize(
    "text",
    ["sort --outp=f g", "sort --compress=x f", "tar --use-comp=x -xf a", "tar --info=x -xf a", "shuf --outp=f g",
     "env --split=x", "sed --expr=1e f"],
)  # fmt: skip
def test_a_long_option_that_runs_or_writes_cut_short(text: str) -> None:
    name, *words = text.split()
    assert option_effect(name, words)


@pytest.mark.parametrize(
    ("text", "effect"),
    [("git commit --edit -m x", "writes"), ("git merge --squash x", "writes"), ("git log --text", "reads"),
     ("git branch --remotes", "reads"), ("git push --follow-tags", "network"), ("git grep --or x", "reads")],
)  # fmt: skip
def test_other_options_of_git_are_not_taken_for_them(text: str, effect: str) -> None:
    assert git_effect(tuple(text.split())).effect == effect
    assert not is_destructive(tuple(text.split()))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every link of /proc")
def test_a_link_that_cannot_be_read_is_asked_about_for_real() -> None:
    assert decide("ls /proc/1/root/x").verdict == "ask"


def test_a_link_that_cannot_be_read_is_asked_about(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/nowhere")
    real = os.readlink

    def readlink(path: str) -> str:
        if str(path).endswith(("/proc/1/root", "/link")):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "readlink", readlink)
    root = str(tmp_path)
    for text in ("ls /proc/1/root/x", "cat link", "cat < link", "cat < /proc/1/root/x", "cd link && ls"):
        assert decide(text, root).verdict == "ask", text
        assert decide(text, root, allow=("Bash(cat *)", "Bash(ls *)"), confined=False).verdict == "ask", text


@pytest.mark.parametrize(
    "text", ["make CC='rm x;' all", "make CC='ls;rm x' all", "make all SHELL=/bin/rm", "./wrap --run='rm x'"]
)
def test_a_denied_command_in_a_value_is_seen(text: str) -> None:
    assert decide(text, deny=("Bash(rm)",)).verdict == "ask"
    assert decide("make CC=gcc all && git commit -m 'a=rm x'", deny=("Bash(rm)",)).verdict == "allow"


@pytest.mark.parametrize(
    "text",
    ["ssh host -oProxyCommand=x", "ssh -o ProxyCommand=x host", "ssh -Fx host", "scp -S ./x a h:b",
     "go test -exec evil ./...", "go build -toolexec=evil", "go test --exec=evil", "make --eval=x", "make --ev=x",
     "make SHELL=python", "make CC='x;'", "make -f x.mk", "cargo test --config x", "cargo +evil test",
     "pytest -p evil", "pytest -qpevil", "pytest -c x.ini", "npm test --script-sh=./x"],
)  # fmt: skip
def test_an_open_rule_covers_no_option_that_runs_something_else(text: str) -> None:
    rules = tuple(f"Bash({name} *)" for name in ("ssh", "scp", "go", "make", "cargo", "pytest", "npm"))
    assert decide(text, allow=rules, confined=False).verdict == "ask"


@pytest.mark.parametrize(
    "text", ["ssh host ls", "go test ./... -run X", "make -j4 CFLAGS=-O2 all", "cargo test --release x",
             "pytest -q -p no:cacheprovider tests", "pytest -x -k a tests"]
)  # fmt: skip
def test_an_open_rule_covers_the_usual_arguments(text: str) -> None:
    assert decide(text, allow=(f"Bash({text.partition(' ')[0]} *)",), confined=False).verdict == "allow"


def test_a_denied_file_is_seen_in_a_folder_that_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / ".env").write_text("KEY=x")
    (tmp_path / "other").mkdir()
    for text, verdict in {
        "grep -r KEY .": "ask", "grep -rn KEY": "ask", "rg -uu KEY": "ask", "rg --hidden KEY sub": "ask",
        "tar c .": "ask", "tar -czf x.tgz sub": "ask", "find . -exec cat {} +": "ask", "cp -r sub other/x": "ask",
        "rg KEY": "allow", "grep KEY a.py": "allow", "grep -r KEY other": "allow", "find . -name x": "allow",
    }.items():  # fmt: skip
        assert decide(text, str(tmp_path), deny=("Read(.env)",)).verdict == verdict, text
        assert decide(text, str(tmp_path)).verdict == "allow", text


@pytest.mark.parametrize(
    ("rule", "text"),
    [("curl -s http://docs.example/", "CURL_HOME=. curl -s http://docs.example/"),
     ("curl -s http://docs.example/", "export CURL_HOME=.; curl -s http://docs.example/"),
     ("curl -s http://docs.example/", "env CURL_HOME=. curl -s http://docs.example/"),
     ("docker ps *", "DOCKER_HOST=tcp://x.org docker ps"), ("kubectl get *", "KUBECONFIG=./k kubectl get pods"),
     ("gh api user", "GH_HOST=x.org gh api user"), ("kubectl get *", "kubectl get pods --kubeconfig=k"),
     ("kubectl get *", "kubectl get pods -s x.org"), ("aws s3 ls *", "aws s3 ls --profile other"),
     ("docker ps *", "docker ps -H tcp://x.org")],
)  # fmt: skip
def test_a_rule_covers_no_settings_that_lead_its_program_elsewhere(rule: str, text: str) -> None:
    assert decide(text, allow=(f"Bash({rule})",)).verdict == "ask"
    plain = rule.replace(" *", " -A") if rule.endswith("*") else rule
    assert decide(plain, allow=(f"Bash({rule})",)).verdict == "allow"
    assert decide(f"NO_COLOR=1 {plain}", allow=(f"Bash({rule})",)).verdict == "allow"


@pytest.mark.parametrize("text", ["git grep KEY", "git grep --untracked KEY", "git -C . grep --no-index KEY"])
def test_git_grep_reads_all_files_that_a_rule_denies(text: str, tmp_path: Path) -> None:
    assert decide(text, str(tmp_path), deny=("Read(.env)",)).verdict == "allow"
    (tmp_path / ".env").write_text("KEY=1")
    assert decide(text, str(tmp_path), deny=("Read(.env)",)).verdict == "ask"


def test_git_shows_a_file_with_keys_outside_of_its_own(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=1")
    assert decide("git diff --no-index /dev/null .env", str(tmp_path)).verdict == "ask"
    assert decide("git diff .env", str(tmp_path)).verdict == "allow"


@pytest.mark.parametrize("blank", ["\u3000", "\u2800", "\t"])
def test_blanks_that_push_a_command_out_of_sight_are_asked_about(blank: str) -> None:
    assert decide(f'echo "ls{blank * 300}" && make').verdict == "ask"
    assert decide(f'echo "ls{blank}" && make').verdict == "allow"


def test_what_a_rule_lets_write_outside_is_asked_about_while_text_from_outside_is_there() -> None:
    operation, grant = ExecOperation(command="cp f ~/site/x", cwd="/w/app"), Grant(writes=("/home/me/site",))
    assert "writes outside the work tree" in why_ask(operation, grant, Taints(sources=("page",)))
    assert why_ask(operation, grant, Taints()) == why_ask(operation, Grant(), Taints(sources=("page",))) == ""


def test_a_program_of_an_environment_outside_is_run_without_a_question(tmp_path: Path) -> None:
    """As poetry keeps them; what is no environment, or an argument of it, is asked about."""
    for name in ("venv/bin", "other/bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "venv/pyvenv.cfg").write_text("home = /usr/bin\n")
    where = Where(root="/w/app", home=str(tmp_path))

    def looked_at(text: str) -> list[str]:
        reading = read_shell(text.replace("~", str(tmp_path)), "/w/app")
        return [os.path.relpath(path, tmp_path) for _, path in private_outside(reading, where)]

    assert looked_at("~/venv/bin/python -m pytest -q") == []
    assert looked_at("~/other/bin/python -m pytest -q") == ["other/bin/python"]
    assert looked_at("~/venv/bin/python ~/notes.py") == ["notes.py"]
    assert looked_at("cat ~/venv/pyvenv.cfg") == ["venv/pyvenv.cfg"]


def test_a_shell_script_that_names_a_denied_program_is_asked_about(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name, text in {
        "list": "curl\n", "up.sh": "#!/usr/bin/env bash\nset -e\n/usr/bin/curl -s x\n",
        "plain.sh": "#!/bin/sh\necho my-curl.log\n",
        "tool.py": "#!/usr/bin/env python3\n# curl\n", "long.sh": "#!/bin/sh\n" + "true\n" * 50_000,
    }.items():  # fmt: skip
        (tmp_path / name).write_text(text)
    (tmp_path / "sub/in.sh").write_text("curl")
    os.mkfifo(tmp_path / "pipe")
    for text, verdict in {
        "bash list": "ask", "sh ./list a": "ask", "env X=1 bash -x list": "ask", "bash < list": "ask", "./up.sh": "ask",
        "cd sub && sh in.sh": "ask", "bash long.sh": "ask", "bash plain.sh": "allow", "./plain.sh": "allow",
        "./tool.py": "allow", "bash not-there.sh": "allow", "bash pipe": "allow", "bash sub": "allow",
    }.items():  # fmt: skip
        assert decide(text, str(tmp_path), deny=("Bash(curl)",)).verdict == verdict, text
        if verdict == "ask" and "<" not in text:
            assert decide(text, str(tmp_path)).verdict == "allow", text


def test_what_later_conversations_follow_is_not_written_unasked_after_text_from_outside() -> None:
    tainted = Taints(sources=("page",))
    for name, asks in {"AGENTS.md": True, "sub/CLAUDE.md": True, "notes.md": False}.items():
        operation = WriteOperation(path=f"/w/app/{name}", inside=True, action="modify")
        assert bool(why_ask(operation, Grant(), tainted)) == asks, name
        assert why_ask(operation, Grant(), Taints()) == ""


@pytest.mark.parametrize("made", [(".git/HEAD",), ("HEAD",), (".git",)])
def test_a_rule_and_a_yes_for_one_repository_open_nothing_for_another_one_below(
    tmp_path: Path, made: tuple[str, ...]
) -> None:
    for path in (".git/HEAD", *(f"sub/{name}" for name in made), "sub/in/f", "src/f"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("x")
    (tmp_path / ".git/config").write_text('[remote "origin"]\n\turl = git@x.org:a\n')
    root, rules = str(tmp_path), ("Bash(git push origin master)", "Bash(git fetch *)")
    for text, verdict in {
        "git push origin master": "allow", "cd src && git fetch origin": "allow", "cd sub && git fetch origin": "ask",
        "cd sub/in && git push origin master": "ask", "git fetch origin && git -C sub fetch origin": "ask",
    }.items():  # fmt: skip
        assert decide(text, root, allow=rules).verdict == verdict, text
        decision = decide(text, root)
        assert decision.verdict == "ask" and decision.grant.logins == (verdict == "allow"), text
        assert verdict == "allow" or (decision.grant == Grant(network="proxy") and "not the work" in decision.reason)
    held = Rules.of(parse_rules(rules, "allow"))
    policy = Policy("ask", held, root=root, home="/home/me", variables={}, containment=lambda: CONFINED)
    below = policy.decide("Bash", ExecOperation(command="git push origin master", cwd=f"{root}/sub/in"))
    assert below.verdict == "ask" and not below.grant.logins
    assert decide("cd sub && git commit -m x", root).grant == Grant()  # the guards would open the tree's own
    assert decide("git commit -m x", root).grant == Grant(git=True)


def test_a_bare_repository_below_opens_no_other_one(tmp_path: Path) -> None:
    for text in ("git --bare tag x", "git --bare push origin main", "cd sub && git --bare tag x"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        grant = decide(text, str(tmp_path)).grant
        assert not grant.git and not grant.logins, text


@pytest.mark.parametrize("text", ["mywrap ${none:-rm} x", "mywrap {rm,x} y", "mywrap $y/rm"])
def test_a_program_that_nobody_knows_may_run_what_a_word_comes_to(text: str) -> None:
    assert decide(text, deny=("Bash(rm)",)).verdict == "ask"
    assert decide(text.replace("rm", "true"), deny=("Bash(rm)",)).verdict == "allow"
    assert decide(text.replace("mywrap", "echo"), deny=("Bash(rm)",)).verdict == "allow"
