"""`letta-code dump`: a stored conversation's log and its next request, in this process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from letta_code.cli import main
from letta_code.config.paths import Paths
from letta_code.core import events as ev
from letta_code.core.messages import TextPart
from letta_code.store.database import Store
from tests.fakes.redaction import NoSecrets


@pytest.fixture
def conversation(tmp_path: Path) -> str:
    """A conversation with a model that a key is set for."""

    async def talk() -> str:
        paths = Paths.find().ensure()
        with Store.open(
            paths.database,
            conversations_dir=paths.conversations,
            agents_dir=paths.agents,
            run_dir=paths.run,
            redactor=NoSecrets(),
        ) as store:
            agent = await store.agents.ensure_default()
            made = await store.conversations.create(agent.id, str(tmp_path))
            await store.append(
                made.id,
                [
                    ev.SettingChanged(name="model", value="openai/one"),
                    ev.ContextPinned(
                        key="k", system="Be good.", tools='[{"name":"A","description":"","parameters":{}}]'
                    ),
                    ev.UserMessage(message_id="m1", content=(TextPart(text="I like \x1b[31mtea **much**"),)),
                    ev.AssistantMessage(message_id="m2", model="openai/one", text="Good."),
                ],
            )
        return made.id

    return asyncio.run(talk())


def test_the_log_and_the_request_as_the_model_is_sent_it(
    conversation: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    assert main(["dump", conversation]) == 0
    out, err = capsys.readouterr()
    assert "I like " in out and "tea **much**" in out and "\x1b" not in out and "sk-secret" not in out
    assert "answer of openai/one" in out and '"stream": true' in out and err == ""
    assert main(["dump", conversation, "--request"]) == 0
    body = json.loads(capsys.readouterr().out)
    assert body["messages"][0] == {"role": "system", "content": "Be good."} and body["model"] == "one"
    assert main(["dump", conversation, "1"]) == 0
    assert "tea" not in capsys.readouterr().out.partition("The next request")[0]


def test_without_its_model_the_request_has_our_own_form(conversation: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", conversation]) == 0
    out, err = capsys.readouterr()
    assert '"parameters": "… 2 bytes of schema …"' in out and "cannot be opened here" in err


def test_a_model_that_does_not_tell_its_bytes_is_not_called_closed(
    conversation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "s.yaml"
    script.write_text("answers: [{text: Hi.}]\n")
    with Store.open(Paths.find().database, run_dir=Paths.find().run, redactor=NoSecrets()) as store:
        asyncio.run(store.append(conversation, [ev.SettingChanged(name="model", value=f"scripted:{script}")]))
    assert main(["dump", conversation]) == 0
    err = capsys.readouterr().err
    assert "own form" in err and "does not tell the bytes" in err and "cannot be opened" not in err


def test_into_a_file_that_was_not_there(
    conversation: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["dump", conversation, "-o", "d.json"]) == 0
    assert str(tmp_path / "d.json") in capsys.readouterr().out
    whole = json.loads((tmp_path / "d.json").read_bytes())
    assert [event["type"] for event in whole["log"]][-2:] == ["user_message", "assistant_message"]
    assert main(["dump", conversation, "-o", "d.json"]) == 2
    assert "already" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["conv-no"], ["a", "b", "c"], ["ID", "0"]])
def test_what_cannot_be_dumped_is_said(words: list[str], conversation: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dump", *(conversation if word == "ID" else word for word in words)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("letta-code: ")
