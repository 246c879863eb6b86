"""What is said where nobody can answer: a rule or a milder mode first, and mode full never as mere advice."""

from __future__ import annotations

import pytest

from letta_code.agent.unanswered import advice_for, flag_for, reason_for
from letta_code.core.requests import ApprovalRequest
from letta_code.safety.containment import Containment
from letta_code.safety.operations import ExecOperation
from letta_code.safety.policy import Policy
from letta_code.safety.rules import Rules, parse_rule
from letta_code.safety.taint import Taints

HELD = Containment(kind="bubblewrap", confines=True, says="All is held.")


def policy(held: bool, mode: str = "ask") -> Policy:
    at = Containment(says="There is none.") if not held else HELD
    return Policy(mode, Rules(), root="/w", home="/h", letta_home="/h/.letta", containment=lambda: at)  # type: ignore[arg-type]


def asked(text: str, needs: str, held: bool) -> tuple[ApprovalRequest, ExecOperation]:
    operation = ExecOperation(command=text, cwd="/w", needs=needs)
    judge = policy(held)
    decision = judge.decide("Bash", operation)
    assert decision.verdict == "ask"
    request = ApprovalRequest(
        request_id="r",
        call_id="c",
        tool="Bash",
        title=text,
        reason=decision.reason,
        offers=judge.offers("Bash", operation),
        destructive=decision.destructive,
        allowed_in=judge.allowed_in("Bash", [operation]),
    )
    return request, operation


@pytest.mark.parametrize(
    ("text", "needs", "held", "flag"),
    [
        ("curl -s https://example.com", "", True, "--allow"),  # the network
        ("touch /etc/x", "", True, "--allow"),  # outside the tree
        ("npm test", "", False, "--allow"),  # no sandbox
        ("git reset --hard", "", True, "--mode auto"),  # destroys, but nothing outside
        ("npm test", "network", True, ""),  # what a model asks for beside the words
        ("npm test", "outside", True, ""),
        ("echo x > .git/hooks/x", "", False, ""),  # a protected path
        ("rm -rf build", "", False, ""),
    ],
)
def test_what_is_named_allows_the_call_and_mode_full_is_only_a_last_word(
    text: str, needs: str, held: bool, flag: str
) -> None:
    request, operation = asked(text, needs, held)
    named = flag_for(request)
    assert named.startswith(flag) if flag else not named
    words = advice_for(request, "conv-1")
    if flag == "--allow":
        rule = parse_rule(named.removeprefix("--allow ").strip("'"), "allow", "flag")
        assert policy(held).with_rules(rule).decide("Bash", operation).verdict == "allow"
    elif flag:
        assert policy(held, "auto").decide("Bash", operation).verdict == "allow"
    else:
        assert words.startswith("No rule is offered for it; letta-code --resume conv-1 goes on where you can be asked.")
        assert "throw away" in words.partition("--mode full")[2]
    assert "full" not in reason_for(request), "the model is never told to advise it"


def test_no_flag_is_named_against_text_from_outside() -> None:
    operation = ExecOperation(command="git push origin main", cwd="/w")
    rules = Rules.of([parse_rule("Bash(git push origin main)", "allow")])
    judge = Policy("ask", rules, root="/w", home="/h", letta_home="/h/.letta", containment=lambda: HELD)
    assert judge.decide("Bash", operation).verdict == "allow"
    judge = judge.with_taints(Taints(sources=("page.html",)))
    decision = judge.decide("Bash", operation)
    assert decision.verdict == "ask", "a rule of a flag does not hold against it"
    request = ApprovalRequest(
        request_id="r", call_id="c", tool="Bash", title="push", reason=decision.reason,
        offers=judge.offers("Bash", operation), allowed_in=judge.allowed_in("Bash", [operation]),
    )  # fmt: skip
    assert flag_for(request) == ""
    assert "--allow" not in advice_for(request, "conv-1") and "--allow" not in reason_for(request)
