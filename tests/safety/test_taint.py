"""Taint: which results come from outside, and what is asked about once one is there."""

from __future__ import annotations

import pytest

from letta_code.safety.containment import Grant
from letta_code.safety.operations import ExecOperation, MemoryOperation, Operation, ReadOperation, WriteOperation
from letta_code.safety.policy import Policy
from letta_code.safety.rules import Rules, parse_rules
from letta_code.safety.taint import FOLDER, NO_TAINTS, Taints, source_of, why_ask

PROXY = Grant(network="proxy")
TAINTS = Taints(sources=("the page x",))


def command(text: str, needs: str = "") -> ExecOperation:
    return ExecOperation(command=text, cwd="/w", needs=needs)


def test_the_source_is_the_part_that_reaches_the_network() -> None:
    found = source_of([command("cd sub && make && curl https://x.example/a | head")], PROXY, foreign=False)
    assert found == "the output of `curl https://x.example/a`, which could reach the network"
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
