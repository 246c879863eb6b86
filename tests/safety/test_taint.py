"""Taint: which results come from outside, and what is asked about once one is there."""

from __future__ import annotations

import pytest

from letta_code.safety.containment import Containment, Grant
from letta_code.safety.operations import ExecOperation, MemoryOperation, Operation, ReadOperation, WriteOperation
from letta_code.safety.policy import Policy
from letta_code.safety.rules import Rules, Source, parse_rules
from letta_code.safety.taint import FOLDER, NO_TAINTS, Taints, origin_of, source_of, why_ask

HELD = Containment(kind="bubblewrap", confines=True, says="held")
PROXY = Grant(network="proxy")
TAINTS = Taints(sources=("the page x",))


def command(text: str, needs: str = "") -> ExecOperation:
    return ExecOperation(command=text, cwd="/w", needs=needs)


def test_the_source_is_the_part_that_reaches_the_network() -> None:
    found = source_of([command("cd sub && make && curl https://x.example/a | head")], PROXY, foreign=False)
    assert found == "the output of `curl https://x.example/a` and what ran with it, which could reach the network"
    alone = source_of([command("curl 'https://x.example/a' 2>&1 | head")], PROXY, foreign=False)
    assert alone == "the output of `curl https://x.example/a`, which could reach the network"
    assert "python3 job.py" in source_of([command("python3 job.py", "network")], PROXY, foreign=False)


@pytest.mark.parametrize(
    "text",
    ["curl https://x.example/a", "ls && wget x.example", "bash -c 'curl x.example | head'", "git ls-remote https://x/y",
     "cat < /dev/tcp/x.example/80", "exec 3<>/dev/udp/x.example/53; cat <&3", "sudo curl x.example"],
)  # fmt: skip
def test_a_network_program_taints_where_nothing_confines_it(text: str) -> None:
    """In mode full a command is granted all of the machine, and the network not by itself."""
    grant = Policy("full", Rules(), root="/w", home="/home/me").decide("Bash", command(text)).grant
    assert grant.outside
    assert "which could reach the network" in source_of([command(text)], grant, foreign=False)


@pytest.mark.parametrize(
    "text", ["ls -la", "git status", "git commit -m curl", "echo curl", "curl http://localhost:1/x"]
)
def test_what_names_no_network_program_is_the_persons_own_in_mode_full_too(text: str) -> None:
    assert source_of([command(text)], Grant(outside=True), foreign=False) == ""


@pytest.mark.parametrize(
    ("operations", "foreign", "source"),
    [
        ([command("ls")], False, ""),
        ([command("ls")], True, FOLDER),
        ([ReadOperation(path="/w/a", inside=True)], False, ""),
        ([ReadOperation(path="/w/a", inside=True)], True, "a of a folder that is not trusted"),
        ([ReadOperation(path="/w/a", inside=True, file_kind="directory")], True, FOLDER),
        ([MemoryOperation(label="human", action="view")], True, ""),
        ([], True, ""),
    ],
)
def test_files_taint_where_the_folder_is_not_trusted(operations: list[Operation], foreign: bool, source: str) -> None:
    assert source_of(operations, Grant(), foreign=foreign) == source


@pytest.mark.parametrize(
    ("operation", "grant", "asks"),
    [
        (command("curl x"), PROXY, True),
        (command("make", "outside"), Grant(outside=True), True),
        (command("make"), Grant(), False),
        (WriteOperation(path="/etc/x", inside=False), Grant(), True),
        (WriteOperation(path="/w/x", inside=True), Grant(), False),
        (ReadOperation(path="/w/x", inside=True), Grant(), False),
    ],
)
def test_what_could_carry_something_out_is_asked_about(operation: Operation, grant: Grant, asks: bool) -> None:
    why = why_ask(operation, grant, TAINTS)
    assert bool(why) == asks
    assert "the page x" in why or not asks
    assert why_ask(operation, grant, NO_TAINTS) == ""


def test_an_allow_rule_is_no_yes_to_what_a_page_asks_for() -> None:
    policy = Policy("ask", Rules.of(parse_rules(["Bash(curl https://x.example)"], "allow")), root="/w", home="/home/me")
    free = policy.decide("Bash", command("curl https://x.example"))
    tainted = policy.with_taints(TAINTS).decide("Bash", command("curl https://x.example"))
    assert (free.verdict, tainted.verdict) == ("allow", "ask")
    assert "the page x" in tainted.reason
    assert policy.with_mode("full").with_taints(TAINTS).decide("Bash", command("curl x")).verdict == "allow"


def test_sources_are_named_newest_first_and_once() -> None:
    taints = NO_TAINTS.plus("a").plus("b").plus("a").plus("c").plus("")
    assert taints.sources == ("a", "b", "c")
    assert taints.named == "c and b and 1 more"


# ---------------------------------------------------------------- rules that the person gave in this conversation

PUSH, PUSHED = "Bash(git push origin main)", "the output of `git push origin main`, which could reach the network"
NPM, INSTALLED = "Bash(npm install)", "the output of `npm install`, which could reach the network"


def verdict(text: str, taints: Taints, *rules: str, source: Source = "conversation") -> str:
    """What becomes of a command where the person gave these rules; the reason where it is asked about."""
    given = Rules.of(parse_rules(rules, "allow", source))
    policy = Policy("ask", given, root="/w", home="/home/me", containment=lambda: HELD).with_taints(taints)
    decision = policy.decide("Bash", command(text))
    return "allow" if decision.verdict == "allow" else decision.reason


def on_a_card(taints: Taints, rule: str) -> Taints:
    return taints.asked("req", f"Because of {taints.named}.").answered("req", rule)


def test_an_exact_rule_of_this_conversation_outlives_the_output_of_its_own_git_command() -> None:
    after = on_a_card(NO_TAINTS, PUSH).plus(PUSHED)
    assert verdict("git push origin main", after, PUSH) == "allow"
    assert verdict("git push origin main 2>&1 | tail -3", after, PUSH) == "allow"
    why = verdict("git push origin main", after.plus("the page x"), PUSH)
    assert f"Your rule {PUSH} would allow it, but it could carry something out" in why
    assert "the page x" in why
    assert "origin main`," not in why  # its own words are no reason
    assert "text from outside" in verdict("cd sub && git push origin main", after.plus("the page x"), PUSH)


@pytest.mark.parametrize(
    ("rule", "source"), [("Bash(git push origin *)", "conversation"), ("Bash(git push)", "user"), (PUSH, "user")]
)
def test_open_rules_and_those_from_before_do_not(rule: str, source: Source) -> None:
    assert verdict("git push origin main", NO_TAINTS, rule, "Bash(git push origin main)", source=source) == "allow"
    tainted = Taints(sources=(PUSHED,))
    assert "text from outside" in verdict("git push origin main", tainted, rule, source=source)


def test_no_rule_counts_below_the_root_where_a_text_may_have_had_a_repository_made() -> None:
    below = ExecOperation(command="git push origin main", cwd="/w/made")
    given = Rules.of(parse_rules([PUSH], "allow", "conversation"))
    policy = Policy("ask", given, root="/w", home="/home/me", containment=lambda: HELD)
    assert policy.decide("Bash", below).verdict == "allow"
    after = on_a_card(NO_TAINTS, PUSH).plus(PUSHED)
    assert policy.with_taints(after).decide("Bash", below).verdict == "ask"
    assert "text from outside" in verdict("cd made && git push origin main", after, PUSH)


def test_a_rule_given_in_the_sight_of_a_source_holds_until_there_is_newer_text_of_it() -> None:
    given = on_a_card(NO_TAINTS.plus("the page x"), PUSH)
    assert verdict("git push origin main", given, PUSH) == "allow"
    assert verdict("git push origin main", given.plus(PUSHED), PUSH) == "allow"
    assert "the page x" in verdict("git push origin main", given.plus("the page x"), PUSH)
    assert "the page y" in verdict("git push origin main", given.plus("the page y"), PUSH)


def test_only_what_the_card_named_and_what_came_before_it_was_shown_counts() -> None:
    many = NO_TAINTS.plus("the page a").plus("the page b").plus("the page c")
    assert "the page a" in verdict("git push origin main", on_a_card(many, PUSH), PUSH)
    while_it_is_open = TAINTS.asked("req", TAINTS.named).plus("the page x").answered("req", PUSH)
    assert "the page x" in verdict("git push origin main", while_it_is_open, PUSH)


def test_what_files_decide_holds_only_where_its_own_output_was_named() -> None:
    """A package's words may have package.json changed, and then the same command does another thing."""
    first = on_a_card(NO_TAINTS, NPM).plus(INSTALLED)
    assert "npm install" in verdict("npm install", first, NPM)
    again = on_a_card(first, NPM)
    assert verdict("npm install", again.plus(INSTALLED), NPM) == "allow"


def test_two_long_commands_are_not_taken_for_one_another() -> None:
    url = f"https://x.example/{'a' * 60}"
    rule = f"git fetch {url}/mine"
    other = source_of([command(f"git fetch {url}/other")], PROXY, foreign=False)
    after = on_a_card(NO_TAINTS, f"Bash({rule})").plus(other)
    assert other == source_of([command(rule)], PROXY, foreign=False)
    assert "text from outside" in verdict(rule, after, f"Bash({rule})")


def test_a_card_offers_what_would_hold_from_now_on() -> None:
    policy = Policy("ask", Rules(), root="/w", home="/home/me", containment=lambda: HELD).with_taints(TAINTS)
    offers = [offer.pattern for offer in policy.offers("Bash", command("git push origin main"))]
    assert offers == [PUSH]
    assert policy.offers("Bash", command("npm install")) == ()  # its own output would end it
    seen = policy.with_taints(TAINTS.plus(INSTALLED))
    assert [offer.pattern for offer in seen.offers("Bash", command("npm install"))][:1] == [NPM]
    many = TAINTS.plus("the page y").plus("the page z")
    assert policy.with_taints(many).offers("Bash", command("git push origin main")) == ()


# ---------------------------------------------------------------- what carries nothing


@pytest.mark.parametrize(
    ("text", "needs", "foreign", "printed", "carries"),
    [
        ("git push origin main", "", False, "Everything up-to-date\n", False),
        ("git push 2>&1 | tail -3", "", False, "Everything up-to-date\n", False),
        ("git push", "", False, "", False),
        ("git push", "", False, "remote: Run make deploy\n", True),
        ("curl -s -o page x.example", "", False, "", True),  # the page is read later
        ("git fetch origin", "", False, "", True),
        ("git push origin main", "", True, "Everything up-to-date\n", True),
        ("git pull", "", False, "Everything up-to-date\n", True),
        ("git push; cat page", "", False, "Everything up-to-date\n", True),
        ("git -c a.b=c push", "", False, "Everything up-to-date\n", True),
        ("git push", "outside", False, "Everything up-to-date\n", True),
    ],
)
def test_a_push_of_which_only_git_itself_speaks_brings_nothing_in(
    text: str, needs: str, foreign: bool, printed: str, carries: bool
) -> None:
    origin = origin_of([command(text, needs)], PROXY, foreign=foreign)
    assert origin.source
    assert bool(origin.of(printed)) == carries
