"""Keys never leave with an agent, wherever they stand; and what leaves is still whole JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from letta_code.agent.agentfile.bring import bring
from letta_code.agent.agentfile.form import lines_of
from letta_code.agent.agentfile.gather import gather, known_keys
from letta_code.agent.agentfile.read import read_agent_file
from letta_code.agent.agentfile.scrub import Scrub
from letta_code.agent.agentfile.write import write_folder
from letta_code.config.settings import Endpoint, Settings
from letta_code.core.events import AssistantMessage, ConversationStarted, ToolResult
from letta_code.core.ids import new_id
from letta_code.core.messages import TextPart, ToolCall
from letta_code.memory.archival import Archive
from letta_code.memory.block import BlockError
from letta_code.memory.blocks import Blocks
from letta_code.memory.edits import Append, Create
from letta_code.safety.secrets import secret_reason
from letta_code.store.passages import Passage
from tests.agent.agentfile.homes import PERSON, full_agent, kept, open_home

TOKEN = "ghp_" + "a1B2" * 10
OWN = "correct-horse-battery"


async def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    paths, store = open_home(tmp_path / "home")
    with store:
        agent, name = await full_agent(paths, store)
        blocks = Blocks(paths.home, agent.id)
        kept(blocks.apply(Append(label="human", text=f"token {TOKEN}"), PERSON))
        await store.passages.insert(Passage(id="", agent_id=agent.id, content=f"AWS AKIA{'Q7' * 8}"))
        arguments = msgspec.json.encode({"command": f'export A=\n{TOKEN}\n"password": "hunter22xyz"'}).decode()
        call = ToolCall(id="c9", name="Bash", arguments=arguments)
        key = f"-----BEGIN RSA PRIVATE KEY-----\n{'QUJD' * 20}\n-----END RSA PRIVATE KEY-----"
        result = (TextPart(text=f"postgres://bob:pa55word@host/db {OWN}\n{key}"),)
        await store.append(
            name,
            [
                AssistantMessage(message_id="m8", model="a/b", text=f"It is {TOKEN}.", tool_calls=(call,)),
                ToolResult(message_id="m9", call_id="c9", name="Bash", status="ok", content=result),
            ],
        )
        endpoint = Endpoint(base_url="http://h/v1", headers={"Authorization": "Bearer zzz-secret-1"}, key_env="MY_KEY")
        settings = Settings(model="lan/big", endpoints={"lan": endpoint})
        file, _ = gather(store, paths, agent, settings=settings, keys=[OWN])
    text = b"\n".join(lines_of(file)).decode()
    for secret in (TOKEN, OWN, "Q7Q7Q7", "hunter22xyz", "pa55word", "QUJDQUJD", "zzz-secret", "http://h/v1"):
        assert secret not in text
    assert file.removed_secrets >= 7 and "[removed: a GitHub token]" in text
    assert file.settings["model"] == "lan/big" and "endpoints" not in file.settings
    [conversation] = msgspec.json.decode(text)["conversations"]
    [message] = [event for event in conversation["events"] if event.get("message_id") == "m8"]
    assert msgspec.json.decode(message["tool_calls"][0]["arguments"])["command"].startswith("export A=\n[removed")


async def test_no_key_is_in_a_tag_a_label_a_path_or_a_name(tmp_path: Path) -> None:
    paths, store = open_home(tmp_path / "home")
    with store:
        agent = await store.agents.create(f"ada {TOKEN}", f"has {TOKEN}")
        name = new_id("conv")
        await store.passages.insert(Passage(id="", agent_id=agent.id, content="A port.", tags=("ops", TOKEN)))
        blocks = Blocks(paths.home, agent.id)
        kept(blocks.apply(Create(label="notes", value="Fine."), PERSON))
        for label in (TOKEN, f"x/{TOKEN}"):
            _by_hand(blocks, f"system/{label}.md", "Also fine.\n")
        started = ConversationStarted(conversation_id=name, agent_id=agent.id, cwd=f"/work/{TOKEN}", version="1")
        output = (TextPart(text="MYSECRET_TOKEN=zz9plural8z\nDB_PASS=hunter22x\nTOKEN=abc12345xyz\n"),)
        result = ToolResult(message_id="m9", call_id="c9", name="Bash", status="ok", content=output)
        await store.append(name, [started, result])
        file, _ = gather(store, paths, agent, settings=Settings(model=f"lan/{TOKEN}"))
        folder = write_folder(file, tmp_path / "out")
    found = [b"\n".join(lines_of(file)), *(path.read_bytes() for path in folder.rglob("*") if path.is_file())]
    found += [str(path).encode() for path in folder.rglob("*")]
    for secret in (TOKEN, "zz9plural8z", "hunter22x", "abc12345xyz"):
        assert not [one for one in found if secret.encode() in one]
    assert {block.label for block in file.blocks} >= {"notes", "removed-1", "x/removed-1"}
    paths, store = open_home(tmp_path / "other")
    with store:
        again, notices = read_agent_file(folder)
        brought = await bring(store, paths, again)
        labels = {block.label for block in Blocks(paths.home, brought.agent.id).view().blocks}
    assert labels >= {"notes", "removed-1", "x/removed-1"} and not notices


def _by_hand(blocks: Blocks, path: str, text: str) -> None:
    file = blocks.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_what_holds_no_secret_stays_byte_for_byte() -> None:
    raw = b'{ "a" : "x\\u0041", "n":1.50,"s":"{\\"b\\": \\"c\\\\n\\"}" }'
    scrub = Scrub(["not there at all"])
    assert scrub.json(raw) == raw and scrub.removed == 0
    assert msgspec.json.decode(scrub.json(b"no json " + TOKEN.encode())) == "no json [removed: a GitHub token]"
    assert scrub.removed == 1


def test_the_homes_own_keys_are_known(tmp_path: Path) -> None:
    paths, store = open_home(tmp_path / "home")
    store.close()
    paths.config.write_text(
        "endpoints:\n  lan:\n    base_url: http://h\n    key_env: MY_OWN\n    headers:\n"
        "      X-Api-Key: header-secret\n      X-Team: plain-team\n"
    )
    paths.credentials.write_text("openai: saved-secret-key\n")
    harmless = {"SSH_KEY": "/home/a/.ssh/id_2", "COLOR_KEY": "rainbow-colours", "TERM": "xterm-256color"}
    assert len(known_keys(paths, harmless)) == 2
    assert "kd82h2k1" in known_keys(paths, {"MY_TOKEN": "kd82h2k1"})
    found = known_keys(paths, {"OPENAI_API_KEY": "env-secret", "MY_OWN": "own-secret", "PATH": "/bin"})
    assert set(found) == {"env-secret", "own-secret", "header-secret", "saved-secret-key"}


async def test_a_key_is_refused_as_a_tag_too(tmp_path: Path) -> None:
    paths, store = open_home(tmp_path / "home")
    with store:
        agent = await store.agents.create("ada")
        archive = Archive(
            store.passages, store.text_index(paths.index, lambda event: None), agent.id, refuse=secret_reason
        )
        with pytest.raises(BlockError, match="such a tag is not kept in archival memory: it holds a GitHub token"):
            await archive.insert("The port is 8080.", ("ops", TOKEN), by=PERSON)
        assert store.passages.count(agent.id) == 0
        assert (await archive.insert("The port is 8080.", ("ops",), by=PERSON)).passage.tags == ("ops",)
