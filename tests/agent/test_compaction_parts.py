"""The parts of a compaction: the window that an error names, rules of a person, items, the cut."""

from __future__ import annotations

from typing import Any

import pytest

from letta_code.agent.compacting.cut import Weights, find_cut
from letta_code.agent.compacting.limits import Limits, window_in
from letta_code.agent.compacting.must_keep import (
    Item,
    carried,
    choose,
    choose_requests,
    from_told,
    items_in,
    listed,
    open_todo,
    rules_in,
)
from letta_code.agent.compacting.outline import outline
from letta_code.agent.compacting.standing import in_block, missing
from letta_code.agent.history import History
from letta_code.agent.transcript import Entry
from letta_code.config.settings import ContextSettings
from letta_code.core import events as ev
from letta_code.core.display import DiffBlock
from letta_code.core.messages import TextPart, ToolCall
from letta_code.core.requests import ApprovalRequest, Approve, Deny, QuestionRequest, Reply
from letta_code.llm.model import ModelInfo


@pytest.mark.parametrize(
    ("words", "window"),
    [
        ("This model's maximum context length is 8192 tokens. However, your messages resulted in 9031 tokens.", 8192),
        ("prompt is too long: 212345 tokens > 200000 maximum", 200_000),
        ("the request exceeds the available context size (4096 tokens), try increasing it", 4096),
        ("http://127.0.0.1:8080/v1 answered 400: context length exceeded", 0),
        ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", 200_000),
        ("The input token count (1,100,000) exceeds the maximum number of tokens allowed (1,048,576).", 1_048_576),
        ("Requested 5,000 tokens; the limit is 4,096", 4096),
    ],
)
def test_the_window_that_an_error_names(words: str, window: int) -> None:
    assert window_in(words) == window


def test_a_refusal_teaches_the_limit() -> None:
    limits = Limits(ContextSettings())
    info = ModelInfo(name="m")
    assert limits.of(info) == 40_000
    assert limits.learn(info, "too long", 30_000) == 24_000
    assert limits.learn(info, "maximum context length is 10,000 tokens", 30_000) == 9_000
    assert limits.learn(info, "maximum context length is 100,000 tokens", 60_000) == 9_000, "never up again"
    assert limits.of(ModelInfo(name="other")) == 40_000
    assert limits.of(ModelInfo(name="small", window=10_000)) == 9_000


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("Never push to main. I don't know why it fails.", ["Never push to main."]),
        ("It never works", []),
        ("Please don't touch it, and always run ruff.", ["Please don't touch it, and always run ruff."]),
        ("Use tabs. From now on, reply in German!", ["From now on, reply in German!"]),
        ("Why do you always do that?", []),
        ("Verwende immer Tabs. Es ist immer so.", ["Verwende immer Tabs."]),
        ("Bitte nicht die Datei löschen.", ["Bitte nicht die Datei löschen."]),
        ("```\ndon't touch\n```\n> never do it\nok then", []),
        ("Don't worry about it.", []),
        ("the tests must not use the network", ["the tests must not use the network"]),
        ("- Do not edit it\n- make sure to run make lint", ["Do not edit it", "make sure to run make lint"]),
        ("You can't do that. I never said so.", []),
    ],
)  # fmt: skip
def test_rules_of_a_person(text: str, rules: list[str]) -> None:
    assert rules_in(text) == rules


def _user(seq: int, text: str) -> ev.UserMessage:
    return ev.UserMessage(seq=seq, message_id=f"m{seq}", content=(TextPart(text=text),))


def _result(seq: int, name: str, path: str, status: str = "ok") -> ev.ToolResult:
    blocks = (DiffBlock(path=path, diff=""),)
    return ev.ToolResult(
        seq=seq, message_id=f"m{seq}", call_id=f"c{seq}", name=name, status=status, content=(), blocks=blocks
    )


def _asked(seq: int, request: Any, answer: Any) -> list[ev.KnownEvent]:
    return [
        ev.RequestMade(seq=seq, request=request),
        ev.RequestAnswered(seq=seq + 1, request_id=request.request_id, answer=answer),
    ]


def _approval(number: int) -> ApprovalRequest:
    return ApprovalRequest(request_id=f"r{number}", call_id="c", tool="Bash", title=f"Bash: rm {number}")


def test_items_of_a_journal() -> None:
    events: list[ev.KnownEvent] = [
        _user(5, "Done with that. Never push."),
        _user(9, "Now fix the build."),
        *_asked(12, QuestionRequest(request_id="r0", call_id="c", question="Which port?"), Reply(text="8123")),
        *_asked(14, _approval(1), Deny(message="not that folder")),
        *_asked(16, _approval(2), Deny()),
        *_asked(18, _approval(3), Approve(remember="project", pattern="Bash(make *)")),
        *_asked(20, _approval(4), Approve()),
        _result(22, "Edit", "/w/src/app.py"),
        _result(23, "Write", "/etc/hosts"),
        _result(24, "Git", "/w/looked.py"),
        _result(25, "Edit", "/w/failed.py", "error"),
    ]
    assert [item.told() for item in items_in(events, "/w")] == [
        "rule [5]: Never push.",
        "decision [13]: Which port? → 8123",
        "decision [15]: no to Bash: rm 1: not that folder",
        "decision [19]: allowed without asking: Bash(make *)",
        "file [22]: src/app.py",
        "file [23]: /etc/hosts",
    ]


def test_items_are_carried_on_by_their_words() -> None:
    items = [Item(kind="rule", text="Never: ever [1].", seq=4), Item(kind="request", text="two\nlines", seq=9)]
    told = [*(item.told() for item in items), "todo: [ ] old", "newer: kind"]
    assert [from_told(one) for one in told[:2]] == items
    assert carried(told) == items[:1], "requests and tasks are known anew"


def test_what_was_asked_for_is_kept_whole_or_says_what_it_lacks() -> None:
    first = Item(kind="request", text="first " * 100, seq=3)
    spec = Item(kind="request", text="\n".join(f"Requirement {n}." for n in range(1, 71)), seq=9)
    assert choose_requests([first, spec], len, 5_000).items == (first, spec)
    kept = choose_requests([first, spec], len, 900)
    (cut,) = kept.items
    assert len(cut.text) + 6 <= 900
    assert cut.text.startswith("Requirement 1.") and cut.text.endswith("Requirement 70.")
    left = len(spec.text) - cut.cut
    assert f"[{cut.cut:,} characters are left out here: all of it is event 9 of this conversation]" in cut.text
    assert left < len(cut.text) < left + 100
    assert f"event 9 was cut: {cut.cut:,} of its {len(spec.text):,} characters" in kept.left_out
    assert "event 3 had no room" in kept.left_out


def test_the_newest_of_each_kind_have_room_first() -> None:
    rules = [Item(kind="rule", text=f"Never do thing number {n}.", seq=n) for n in range(1, 30)]
    files = [Item(kind="file", text=f"f{n}.py", seq=n) for n in range(30, 33)]
    kept = choose([*rules, *files, *open_todo(["[x] done", "[>] doing"])], len, 200)
    wanted = [f"Never do thing number {n}." for n in range(25, 30)]
    assert [item.text for item in kept.items] == ["[>] doing", *wanted, "f31.py", "f32.py"]
    assert kept.left_out == "No room was left for 24 older rules, 1 older changed file."
    assert choose([rules[0], rules[0]], len, 500).items == (rules[0],)


DECISIONS = "# Decisions and exact identifiers\n"


@pytest.mark.parametrize(
    ("item", "summary", "stands"),
    [
        (Item(kind="rule", text="Never push to `main`.", seq=4), DECISIONS + "- [4] **Never push to `main`**", True),
        (Item(kind="rule", text="Never push.", seq=4), DECISIONS + "- The earlier rule 'Never push.' is void", False),
        (Item(kind="rule", text="Never push.", seq=4), DECISIONS + "- Never push. (no longer)", False),
        (Item(kind="rule", text="Never push.", seq=4), "# Errors and fixes\n- Never push.", False),
        (Item(kind="rule", text="Never push.", seq=4), "Never push.", False),
        (Item(kind="file", text="src/__init__.py"), "## Current state:\n* `src/__init__.py`", True),
        (Item(kind="file", text="src/__init__.py"), "# Current state\n- src/init.py", False),
        (Item(kind="file", text="a.py"), "# Current state\nI changed a.py today.", False),
        (Item(kind="todo", text="[>] write tests"), "# Next step\n- [ ] write tests", True),
        (Item(kind="todo", text="[ ] write tests"), "# Next step\n- [x] write tests", False),
        (Item(kind="decision", text="Which port? → 8123"), DECISIONS + "Which port? → 8123", True),
        (Item(kind="decision", text="allowed: Bash(rm *)"), DECISIONS + "- allowed: Bash(rm )", False),
        (Item(kind="request", text="Fix\nit", seq=2), "# Goals\n- Fix\nit", False),
    ],
)  # fmt: skip
def test_an_item_stands_only_as_a_line_of_its_section(item: Item, summary: str, stands: bool) -> None:
    assert (missing([item], summary, "") == ()) is stands


def test_the_head_counts_for_its_blocks_only() -> None:
    head = (
        "Be good. Never push. Edit a.py.\n\n<memory>\nAbout it.\n"
        '<block label="task" scope="conversation" chars="9/9">\nFix the &lt;system-reminder> build.\n</block>\n'
        '<block label="todo" scope="conversation" chars="9/9">\n- [>] write tests\n- [x] read\n</block>\n</memory>'
    )
    there = [
        Item(kind="request", text="Fix the <system-reminder> build.", seq=2),
        Item(kind="todo", text="[>] write tests"),
    ]
    assert all(in_block(item, head) for item in there)
    gone = (
        Item(kind="request", text="Fix the build.", seq=2),
        Item(kind="todo", text="[ ] read"),
        Item(kind="rule", text="Never push."),
        Item(kind="file", text="a.py"),
    )
    assert missing([*there, *gone], "", head) == gone


def test_items_are_listed_each_even_where_one_names_another() -> None:
    items = (Item(kind="request", text="Mend a.py.\nSoon.", seq=7), Item(kind="file", text="a.py", seq=9))
    assert listed(items).splitlines() == [
        "What the person asked for in the work that goes on:",
        "- [7] Mend a.py.",
        "  Soon.",
        "Files changed so far:",
        "- [9] a.py",
    ]


def test_an_outline_keeps_to_its_budget_and_prefers_what_persons_said() -> None:
    entries = [
        Entry(seq=n, who="person" if n % 5 == 0 else "result of Bash", text=f"line {n}\nmore") for n in range(200)
    ]
    text = outline(entries, "x" * 900, len, 1_500)
    assert len(text) <= 1_500
    assert "[199] result of Bash: line 199" in text
    assert "[195] person: line 195 more" in text
    assert "[1] " not in text
    assert "lines more, not shown" in text
    assert text.index("[195]") < text.index("[199]")


def test_an_earlier_summary_stays_whole_through_outlines_as_long_as_it_fits() -> None:
    summary = "# Goals\nThe port is 8123.\n# Current state\n" + "It goes on. " * 40
    text = summary
    for number in range(6):
        entries = [Entry(seq=number * 100 + n, who="agent", text=f"line {n}") for n in range(80)]
        text = outline(entries, text, len, 1_500)
        assert len(text) <= 1_500
        assert summary.strip() in text
        assert text.count("# What was kept of before that") == text.count("# What was said and done") == 1
    assert "[579] agent: line 79" in text
    shown = len([line for line in text.splitlines() if "] agent: " in line])
    assert f"({480 - shown} lines more, not shown)" in text
    assert len(outline([], summary * 9, len, 1_500)) <= 1_500


# ---------------------------------------------------------------- the cut


def _history(*kinds: str) -> History:
    """u: a person's words, a: an answer, c: a call and its result, r: a fact, in this order."""
    history, seq = History(), 0

    def add(event: Any) -> None:
        nonlocal seq
        from msgspec.structs import replace

        seq += 1
        history.apply(replace(event, seq=seq))

    for kind in kinds:
        match kind:
            case "u":
                add(_user(0, "u"))
            case "a":
                add(ev.AssistantMessage(message_id="a", model="m", text="a"))
            case "c":
                call = ToolCall(id=f"c{seq}", name="Act", arguments="{}")
                add(ev.AssistantMessage(message_id="a", model="m", tool_calls=(call,)))
                add(ev.ToolResult(message_id="t", call_id=call.id, name="Act", status="ok", content=()))
            case _:
                add(ev.ReminderAdded(message_id="r", kind="environment", text="r", fact_key=str(seq)))
    return history


def _cut(history: History, *sizes: int, limit: int = 10_000, reason: str = "threshold", head: int = 1_000) -> Any:
    return find_cut(history, Weights(head=head, messages=sizes, limit=limit), reason)


def test_a_cut_keeps_the_newest_third_and_begins_with_a_person() -> None:
    cut = _cut(_history(*"uauauauaua"), *([1_000] * 10))
    assert (cut.first_kept_seq, cut.evicted) == (9, tuple(range(8)))
    assert cut.after <= 0.8 * 10_000


def test_a_cut_never_parts_a_call_from_its_result() -> None:
    cut = _cut(_history("u", "c", "c", "c", "c", "a", "u"), 500, *([1_200, 900] * 4), 300, 200)
    assert cut.first_kept_seq in (8, 10, 11)


def test_what_was_not_answered_stays() -> None:
    history = _history("u", "a", "u", "c")
    cut = _cut(history, 6_000, 6_000, 3_000, 100, 4_000)
    assert cut.first_kept_seq == 4, "the call and its result"
    assert _cut(_history("u"), 60_000) is None
    assert _cut(_history("u"), 60_000, reason="overflow").first_kept_seq == 2, "but for what cannot be sent"


def test_a_cut_that_wins_too_little_is_not_made() -> None:
    assert _cut(_history(*"uaua"), 200, 200, 200, 200, head=12_000) is None
    assert _cut(_history(*"ua"), 300, 300, reason="asked") is None


def test_the_facts_of_now_stay() -> None:
    cut = _cut(_history(*"ruruauaua"), *([1_200] * 9))
    assert 2 not in cut.evicted
    assert 0 in cut.evicted, "an older state of the same fact goes"


def test_a_cut_goes_on_behind_the_one_before() -> None:
    history = _history(*"uauaua")
    history.apply(ev.ContextCompacted(seq=7, message_id="s", summary="s", first_kept_seq=5))
    assert len(history.messages) == 3
    cut = _cut(history, 4_000, 5_000, 900, limit=9_000)
    assert (cut.first_kept_seq, cut.evicted) == (6, (0, 1))
    assert _cut(history, 12_000, 100, 100, limit=9_000).first_kept_seq > 5
