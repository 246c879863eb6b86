"""State machines: whatever rules come, in whatever order, one more deny or ask and a project's file never widen."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from letta_code.safety.containment import Containment, Grant
from letta_code.safety.hosts import host_verdict
from letta_code.safety.operations import (
    AskOperation,
    Decision,
    ExecOperation,
    GitOperation,
    MemoryOperation,
    Operation,
    ReadOperation,
    WriteOperation,
)
from letta_code.safety.own_hooks import Hooks
from letta_code.safety.policy import MODES, Mode, Policy
from letta_code.safety.rules import Rule, Rules, Source, Verdict, parse_rule

ROOT, HOME = "/w/app", "/home/me"
STRICT = {"allow": 0, "ask": 1, "deny": 2}
NETWORKS = ("off", "proxy", "open")
PATTERNS = (
    "Bash", "Bash(rm)", "Bash(ls *)", "Bash(git push)", "Bash(git *)", "Bash(npm test)", "Bash(cat *)",
    "Bash(python *)", "Bash(curl)", "Bash(npm install *)", "Read", "Read(.env)", "Read(src/**)", "Read(/home/me/**)",
    "Edit", "Edit(src/**)", "Write(./.mcp.json)", "Git", "Git(commit)", "Git(push)", "Memory", "AskUser",
    "Net(example.org)", "Net(*.example.org)", "Net",
)  # fmt: skip
HOSTS = ("example.org", "a.example.org", "evilexample.org", "example.org.evil.com", "1.2.3.4", "example.org.")
WORDS = (
    "rm", "-rf", "x", "ls", "cat", ".env", "git", "push", "commit", "-m", "-C", "sub", "curl", "https://x.org", "npm",
    "install", "test", "python", "-c", "'import os'", "env", "timeout", "5", "sudo", "src/a.py", "/etc/passwd", "~/x",
    "&&", ";", "|", "||", "&", "\n", "> f", "> /etc/x", "< .env", "$x", "$(ls)", "`rm x`", "(", ")", "{", "}", "X=1",
    "PATH=.", "'a b'", '"$(curl x)"', "<<EOF\nx\nEOF", "*", "--", "sh", "eval", "\u202e",
)  # fmt: skip

_commands = st.builds(
    ExecOperation,
    command=st.lists(st.sampled_from(WORDS), min_size=1, max_size=9).map(" ".join),
    cwd=st.sampled_from([ROOT, "/w/app/sub", "/home/me"]),
    needs=st.sampled_from(["", "", "network", "outside"]),
    keep=st.booleans(),
)
_paths = st.sampled_from(["/w/app/src/a.py", "/w/app/.env", "/w/app/.mcp.json", "/w/app/.git/config", "/home/me/x",
                          "/home/me/.ssh/id_rsa", "/etc/passwd", "/usr/include/x.h"])  # fmt: skip
_operations: st.SearchStrategy[Operation] = st.one_of(
    _commands,
    st.builds(ReadOperation, path=_paths, inside=st.booleans()),
    st.builds(WriteOperation, path=_paths, inside=st.booleans()),
    st.builds(
        GitOperation,
        command=st.sampled_from(["commit -m x", "push", "status", "stash drop", "add x"]),
        writes=st.booleans(),
        cwd=st.just(ROOT),
    ),
    st.just(MemoryOperation(label="todo", action="replace")),
    st.just(AskOperation(what="question")),
)
_tools = st.sampled_from(["Bash", "Read", "Edit", "Git", "Memory", "AskUser"])


def narrower(after: Decision, before: Decision) -> bool:
    """Whether a decision lets through no more than another one."""
    if STRICT[after.verdict] != STRICT[before.verdict]:
        return STRICT[after.verdict] > STRICT[before.verdict]
    return after.verdict != "allow" or not _more(after.grant, before.grant)


def _more(after: Grant, before: Grant) -> bool:
    if before.outside:
        return False
    return (
        after.outside
        or (after.git and not before.git)
        or (after.hooks and not before.hooks)
        or NETWORKS.index(after.network) > NETWORKS.index(before.network)
        or not set(after.writes) <= set(before.writes)
    )


class RulesOnlyTighten(RuleBasedStateMachine):
    """Rules are added one by one; after each every operation known so far is judged in every mode."""

    operations = Bundle("operations")

    @initialize(confines=st.booleans(), waiting=st.booleans())
    def begin(self, confines: bool, waiting: bool) -> None:
        containment = Containment(kind="bubblewrap" if confines else "none", confines=confines)
        hooks = Hooks(waiting=("pre-commit",) if waiting else (), agreed=not waiting)
        self.policies: dict[Mode, Policy] = {
            mode: Policy(
                mode,
                Rules(),
                root=ROOT,
                home=HOME,
                variables={},
                containment=lambda: containment,
                hooks=lambda: hooks,
            )
            for mode in MODES
        }
        self.known: list[tuple[str, Operation]] = []
        self.given: list[Rule] = []

    @rule(target=operations, tool=_tools, operation=_operations)
    def meet(self, tool: str, operation: Operation) -> tuple[str, Operation]:
        self.known = [*self.known[-5:], (tool, operation)]
        return tool, operation

    @rule(text=st.sampled_from(PATTERNS), source=st.sampled_from(["user", "project", "conversation", "flag"]))
    def allow(self, text: str, source: Source) -> None:
        """Widens, of course."""
        self._give(parse_rule(text, "allow", source))

    @rule(
        text=st.sampled_from(PATTERNS),
        verdict=st.sampled_from(["deny", "ask"]),
        source=st.sampled_from(["user", "project", "project_file"]),
    )
    def tighten(self, text: str, verdict: Verdict, source: Source) -> None:
        before = self._all()
        hosts = self._hosts()
        self._give(parse_rule(text, verdict, source))
        for (case, after), was in zip(self._all().items(), before.values(), strict=True):
            assert narrower(after, was), (text, verdict, case, was, after)
        for host, was in hosts.items():
            assert STRICT[self._hosts()[host]] >= STRICT[was], (text, verdict, host)

    @rule(text=st.sampled_from(PATTERNS))
    def a_project_file_wants_more(self, text: str) -> None:
        before, hosts = self._all(), self._hosts()
        self._give(parse_rule(text, "allow", "project_file"))
        assert (self._all(), self._hosts()) == (before, hosts)

    @invariant()
    def plan_changes_nothing_and_stricter_modes_are_stricter(self) -> None:
        for tool, operation in getattr(self, "known", ()):
            found = [self.policies[mode].decide(tool, operation) for mode in MODES]
            if isinstance(operation, WriteOperation | ExecOperation):
                assert found[0].verdict == "deny"
            for stricter, wider in pairwise(found[1:]):
                assert STRICT[stricter.verdict] >= STRICT[wider.verdict], (tool, operation, stricter, wider)

    @invariant()
    def nothing_is_given_that_no_rule_allows(self) -> None:
        for tool, operation in getattr(self, "known", ()):
            for mode in ("ask", "auto"):
                decision = self.policies[mode].decide(tool, operation)
                if decision.verdict == "allow" and decision.rule.startswith("mode"):
                    grant = decision.grant
                    allowed = any(one.verdict == "allow" for one in self.given)
                    assert allowed or not (grant.outside or grant.writes or grant.network != "off")

    def _give(self, one: Rule) -> None:
        self.given.append(one)
        self.policies = {mode: policy.with_rules(one) for mode, policy in self.policies.items()}

    def _all(self) -> dict[tuple[str, int], Decision]:
        return {
            (mode, at): policy.decide(tool, operation)
            for mode, policy in self.policies.items()
            for at, (tool, operation) in enumerate(self.known)
        }

    def _hosts(self) -> dict[str, str]:
        return {host: host_verdict(self.policies["ask"].rules, host) for host in HOSTS}


RulesOnlyTighten.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestRulesOnlyTighten = RulesOnlyTighten.TestCase
