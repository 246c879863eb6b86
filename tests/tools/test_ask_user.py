"""AskUser: the answer goes to the model; no answer means going on."""

from __future__ import annotations

from pathlib import Path

import pytest

from letta_code.core.display import QuestionBlock
from letta_code.core.errors import ToolError
from letta_code.core.requests import Answer, Approve, Choice, Deny, Reply, Unanswered
from letta_code.llm.model import ModelInfo
from letta_code.safety.operations import AskOperation
from letta_code.tools.ask_user import AskUser
from letta_code.tools.base import Situation
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import Capabilities
from tests.tools.context import FakeContext

ASK = AskUser()


class Asked(FakeContext):
    """Keeps the choices too."""

    offered: tuple[Choice, ...] = ()
    several = False

    async def ask(self, question: str, choices: tuple[Choice, ...] = (), *, several: bool = False) -> Answer:
        self.offered, self.several = choices, several
        return await super().ask(question, choices, several=several)


@pytest.fixture
def ctx(tmp_path: Path) -> Asked:
    return Asked(LocalWorkspace(str(tmp_path)))


async def test_the_answer_goes_to_the_model(ctx: Asked):
    ctx.answers = [Reply(text="the blue one")]
    result = await ctx.call(ASK, question="Which?", choices=["red", "blue"], several=True)
    assert result.content[0].text == "the blue one"
    assert result.blocks == (QuestionBlock(question="Which?", answer="the blue one"),)
    assert (ctx.asked, ctx.several) == (["Which?"], True)
    assert ctx.offered == (Choice(label="red"), Choice(label="blue"))
    assert [w.operation for w in ctx.wanted] == [AskOperation(what="Which?")]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            Unanswered(reason="nobody is at the terminal"),
            "Nobody answered (nobody is at the terminal). Go on with your",
        ),
        (Deny(), "The person did not answer. Go on with your best judgement"),
        (Deny(message="not now"), "did not answer: not now Go on"),
        (Approve(), "Yes."),
    ],
)
async def test_other_answers(ctx: Asked, answer: Answer, words: str):
    ctx.answers = [answer]
    assert words in await ctx.text(ASK, question="Shall I?")


@pytest.mark.parametrize(
    "arguments",
    [
        {"question": " "},
        {"question": ""},
        {"question": "x", "choices": ["a", "a"]},
        {"question": "x", "choices": [" "]},
        {"question": "x", "choices": [str(i) for i in range(11)]},
    ],
)
async def test_what_is_refused(ctx: Asked, arguments: dict[str, object]):
    with pytest.raises(ToolError):
        await ctx.call(ASK, **arguments)
    assert ctx.asked == []


def test_only_where_somebody_can_answer():
    here = Situation(capabilities=Capabilities(), model=ModelInfo(name="m"))
    nobody = Situation(capabilities=Capabilities(), model=ModelInfo(name="m"), interactive=False)
    assert ASK.applies(here)
    assert not ASK.applies(nobody)


def test_the_title_is_one_line():
    assert ASK.title(ASK.args(question="One\ntwo?")) == "Ask: One two?"
    assert len(ASK.title(ASK.args(question="word " * 100))) <= 85
