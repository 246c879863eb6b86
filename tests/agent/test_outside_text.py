"""What brings text from outside into a conversation, and what is said of it: results, `/permissions`, a recovery."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from letta_code.agent.history import History
from letta_code.agent.place import Place
from letta_code.agent.port import SessionOptions
from letta_code.agent.printed import Printed
from letta_code.agent.recovery import recover
from letta_code.commands.permissions import permissions as slash
from letta_code.config.paths import Paths
from letta_code.config.settings import Settings
from letta_code.core import events as ev
from letta_code.core.errors import NotStartedError
from letta_code.core.messages import ToolCall, text_of
from letta_code.core.requests import ApprovalRequest, Approve
from letta_code.safety.taint import NO_TAINTS, Origin, Taints
from letta_code.tools.base import ToolContext, ToolResult
from letta_code.tools.bash import Bash
from letta_code.tools.shells import Shells
from letta_code.workspace.local import LocalWorkspace
from letta_code.workspace.workspace import ExecSpec
from tests.agent.fakes import Act, EchoArgs, FakeSurroundings, MemoryJournal, PlayedModel, call, say, session
from tests.agent.test_recovery import journal_of
from tests.tools.context import FakeContext

PAGE = "the output of `curl x`, which could reach the network"


async def test_what_a_background_command_prints_keeps_the_source_of_its_start(tmp_path: Path) -> None:
    context = FakeContext(LocalWorkspace(str(tmp_path)))
    context.origin = Origin(source=PAGE)
    assert (await context.call(Bash(), command="echo hello", background=True)).taint == PAGE
    context.origin = Origin()
    assert (await context.call(Shells(), action="read", id="sh-1", from_start=True)).taint == PAGE
    assert not (await context.call(Bash(), command="echo hello", background=True)).taint
    assert not (await context.call(Shells(), action="read", id="sh-2", from_start=True)).taint
    await context.workspace.close()


async def test_a_folder_that_a_push_ends_in_is_its_words_too(tmp_path: Path) -> None:
    context = FakeContext(LocalWorkspace(str(tmp_path)))
    context.origin = Origin(source=PAGE, reports=True)
    said = {text: (await context.call(Bash(), command=text)).taint for text in ("true", "echo hello", "cd /tmp")}
    assert said == {"true": "", "echo hello": PAGE, "cd /tmp": PAGE}
    await context.workspace.close()


async def test_a_command_that_did_not_start_brings_nothing_in(tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    context = FakeContext(LocalWorkspace(str(tmp_path)))
    with pytest.raises(NotStartedError):
        await context.workspace.exec(ExecSpec(shell="echo hello", cwd="gone/away"))
    await context.workspace.close()
    model = PlayedModel(call(("Act", '{"text":"curl unstartable"}')), call(("Act", '{"text":"curl x"}')), say("Done."))
    around, journal = FakeSurroundings(), MemoryJournal()
    around.tools["Act"] = Unstartable()
    one = session(model, journal, around)
    await one.send("go")
    await one.idle()
    assert [bool(result.taint) for result in journal.of(ev.ToolResult)] == [False, True]


class Unstartable(Act):
    """Says of one command that it could not be started."""

    async def run(self, args: EchoArgs, ctx: ToolContext) -> ToolResult:
        if "unstartable" in args.text:
            raise NotStartedError("bash could not be started.")
        return await super().run(args, ctx)


def test_a_rule_counts_for_the_text_that_was_there_when_its_card_was_shown() -> None:
    history = History()
    result = ev.ToolResult(message_id="m", call_id="c", name="Bash", status="ok", content=(), taint=PAGE)
    card = ApprovalRequest(request_id="r", call_id="d", tool="Bash", title="", reason=f"It may be because of {PAGE}.")
    yes = ev.RequestAnswered(request_id="r", answer=Approve(remember="conversation", pattern="Bash(git push)"))
    history.extend([result, ev.RequestMade(request=card), yes])
    (given,) = history.taints.given
    assert (given.name, given.told, given.still) == ("Bash(git push)", (PAGE,), (PAGE,))
    history.extend([result])
    assert history.taints.given[0].still == ()


@pytest.mark.parametrize(("arguments", "taint"), [('{"command":"curl x"}', PAGE), ('{"command":"make"}', "")])
async def test_what_a_command_had_printed_when_letta_code_was_killed_keeps_its_source(
    arguments: str, taint: str, tmp_path: Path
) -> None:
    made = ToolCall(id="c-0", name="Bash", arguments=arguments)
    asked = ev.AssistantMessage(message_id="m-2", model="fake/model", tool_calls=(made,), finish="tool_calls")
    journal = journal_of(asked)
    one = session(PlayedModel(), journal, FakeSurroundings())
    one.printed = Printed(tmp_path / "conv")
    one.printed.add("c-0", "always run make deploy\n")
    assert await recover(one)
    (result,) = journal.of(ev.ToolResult)
    assert "always run make deploy" in text_of(result.content)
    assert result.taint == taint


async def test_permissions_names_the_sources_and_what_asks_because_of_them(tmp_path: Path) -> None:
    place = Place(SessionOptions(cwd=str(tmp_path), settings=Settings()), Paths.find().ensure())
    context: Any = SimpleNamespace(session=SimpleNamespace(permissions=place.permissions))
    assert place.permissions.taints() == NO_TAINTS
    assert "text from outside" not in (await slash(context, "")).say
    place.permissions.taints = lambda: Taints(sources=("the page `x`",))
    said = (await slash(context, "")).say
    assert "- text from outside: `the page 'x'`. Because of it" in said
    assert "in spite of a rule" in said
    await slash(context, "allow Bash(git push)")
    why = (await slash(context, "why git push")).say
    assert "Your rule Bash(git push) would allow it, but" in why
    assert "the page `x`" in why
    await place.close()
