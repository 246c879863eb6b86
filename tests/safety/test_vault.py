"""Placeholders: one for each secret, the same each time, put back into the file that it came from and nowhere else."""

from __future__ import annotations

import gc
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_code.core.errors import ToolError
from letta_code.core.events import AssistantMessage, ToolResult
from letta_code.core.messages import ImagePart, ReasoningPart, TextPart, ToolCall
from letta_code.safety.secrets import PLACEHOLDER
from letta_code.safety.vault import Secrets, Vault, secrets_of_environment
from letta_code.tools.apply_patch import ApplyPatch
from letta_code.tools.edit import Edit
from letta_code.tools.read import Read
from letta_code.tools.write import Write
from letta_code.workspace.local import LocalWorkspace
from tests.safety.canaries import CANARIES, KEY_KINDS, KEY_LINES, Canary, private_key
from tests.tools.context import FakeContext

NAMES = [f"{one.kind}-{number}" for number, one in enumerate(CANARIES)]


@pytest.fixture
def ctx(tmp_path: Path) -> FakeContext:
    return FakeContext(LocalWorkspace(str(tmp_path), str(tmp_path)))


def text_of_first(result: object) -> str:
    return result.content[0].text  # type: ignore[attr-defined]  # a tool's result


def placeholder_in(text: str) -> str:
    [found] = PLACEHOLDER.findall(text)
    return found


@pytest.mark.parametrize("canary", CANARIES, ids=NAMES)
def test_each_format_is_found_whole_and_nothing_beside_it(canary: Canary) -> None:
    vault = Vault()
    text = f"first\n{canary.line}\nlast\n"
    clean = vault.clean(text)
    placeholder = placeholder_in(clean)
    assert vault.value(placeholder) == canary.value and f":{canary.kind}:" in placeholder
    assert clean.replace(placeholder, canary.value) == text
    assert vault.clean(text) == clean and vault.clean(clean) is clean
    assert canary.value not in vault.clean(f"no login with {canary.value} here"), "it is known by itself from then on"


@pytest.mark.parametrize("canary", CANARIES, ids=NAMES)
async def test_an_edit_beside_a_secret_leaves_its_bytes(canary: Canary, ctx: FakeContext, tmp_path: Path) -> None:
    file = tmp_path / "settings.txt"
    file.write_text(f"before = 1\n{canary.line}\nafter = 1\n")
    shown = text_of_first(await ctx.call(Read(), path="settings.txt"))
    placeholder = placeholder_in(shown)
    line = canary.line.replace(canary.value, placeholder)
    await ctx.call(Edit(), path="settings.txt", old=f"{line}\nafter = 1", new=f"{line}\nafter = 2")
    assert file.read_bytes() == f"before = 1\n{canary.line}\nafter = 2\n".encode()
    await ctx.call(Write(), path="settings.txt", content=f"{line}\nnew = 3\n")
    assert file.read_bytes() == f"{canary.line}\nnew = 3\n".encode()
    patch = f"*** Begin Patch\n*** Update File: settings.txt\n {line}\n-new = 3\n+new = 4\n*** End Patch"
    await ctx.call(ApplyPatch(), patch=patch)
    assert file.read_bytes() == f"{canary.line}\nnew = 4\n".encode()


@pytest.mark.parametrize("kind", KEY_KINDS)
async def test_a_private_key_is_shown_line_by_line_and_stays(kind: str, ctx: FakeContext, tmp_path: Path) -> None:
    file = tmp_path / "keys.pem"
    file.write_text(f"# mine\n{private_key(kind)}# end\n")
    shown = text_of_first(await ctx.call(Read(), path="keys.pem"))
    assert not [line for line in KEY_LINES if line in shown]
    assert shown.count("\n") == file.read_text().count("\n"), "every line has its number, and a note follows"
    assert "which put the value back" in shown
    middle = text_of_first(await ctx.call(Read(), path="keys.pem", offset=5, limit=3))
    assert len(PLACEHOLDER.findall(middle)) == 3
    await ctx.call(Edit(), path="keys.pem", old="# end", new="# the end")
    assert file.read_text() == f"# mine\n{private_key(kind)}# the end\n"


async def test_a_secret_goes_into_no_other_file(ctx: FakeContext, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"{CANARIES[2].line}\n")
    (tmp_path / "other.txt").write_text("here\n")
    placeholder = placeholder_in(text_of_first(await ctx.call(Read(), path=".env")))
    await ctx.call(Read(), path="other.txt")
    with pytest.raises(ToolError, match=r"not read from other\.txt"):
        await ctx.call(Edit(), path="other.txt", old="here", new=placeholder)
    with pytest.raises(ToolError, match=r"not read from other\.txt"):
        await ctx.call(Write(), path="other.txt", content=placeholder)
    with pytest.raises(ToolError, match=r"not read from new\.txt"):
        await ctx.call(Write(), path="new.txt", content=placeholder)
    with pytest.raises(ToolError, match=r"not read from new\.txt"):
        await ctx.call(ApplyPatch(), patch=f"*** Begin Patch\n*** Add File: new.txt\n+{placeholder}\n*** End Patch")
    assert (tmp_path / "other.txt").read_text() == "here\n" and not (tmp_path / "new.txt").exists()


async def test_a_secret_that_was_taken_out_may_be_put_back(ctx: FakeContext, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(f"a=1\n{CANARIES[2].line}\n")
    placeholder = placeholder_in(text_of_first(await ctx.call(Read(), path=".env")))
    await ctx.call(Write(), path=".env", content="a=1\n")
    await ctx.call(Write(), path=".env", content=f"a=1\n{CANARIES[2].line.replace(CANARIES[2].value, placeholder)}\n")
    assert file.read_text() == f"a=1\n{CANARIES[2].line}\n"


async def test_an_unknown_placeholder_is_refused_with_what_to_do(ctx: FakeContext, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text\n")
    await ctx.call(Read(), path="a.txt")
    with pytest.raises(ToolError, match=r"stands for nothing here.*Read a\.txt again"):
        await ctx.call(Edit(), path="a.txt", old="text", new="<secret:github-token:0a1b2c3d>")
    assert (tmp_path / "a.txt").read_text() == "text\n"


async def test_a_file_that_writes_about_placeholders_can_be_edited(ctx: FakeContext, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("Shown as <secret:github-token:0a1b2c3d>.\n")
    await ctx.call(Read(), path="a.md")
    await ctx.call(
        Edit(), path="a.md", old="Shown as <secret:github-token:0a1b2c3d>", new="It is <secret:github-token:0a1b2c3d>"
    )
    assert (tmp_path / "a.md").read_text() == "It is <secret:github-token:0a1b2c3d>.\n"


def test_placeholders_of_two_conversations_are_different() -> None:
    secrets = Secrets()
    one, two = (secrets.clean(CANARIES[2].line, name) for name in ("conv-1", "conv-2"))
    assert one != two and secrets.vault("conv-2").value(placeholder_in(one)) is None
    assert secrets.vault("conv-1") is secrets.vault("conv-1")


def test_what_letta_code_holds_is_secret_whatever_it_looks_like() -> None:
    secrets = Secrets(["plain words of a provider"])
    before = secrets.vault("conv-1")
    secrets.know("another one, learnt later")
    assert "plain" not in before.clean("it is plain words of a provider.")
    assert "learnt" not in before.clean("it is another one, learnt later.")
    assert "learnt" not in secrets.clean("it is another one, learnt later.", "conv-2")


def test_variables_with_secret_names_are_known() -> None:
    env = {
        "MY_API_KEY": "just a few words",
        "GITHUB_TOKEN": "abcdefgh",
        "DB_PASSWORD": "swordfish",
        "CLIENT_SECRET": "qwertyuiop",
        "SSH_KEY": "/home/ann/.ssh/id",
        "TOKEN": "short",
        "KEYBOARD": "querty-layout",
        "HOME": "/home/ann",
    }
    assert secrets_of_environment(env) == {"just a few words", "abcdefgh", "swordfish", "qwertyuiop"}


def test_an_event_loses_its_secrets_wherever_they_stand() -> None:
    value = CANARIES[2].value
    secrets = Secrets()
    call = ToolCall(id="c", name="Write", arguments=msgspec.json.encode({"content": f"a\n{value}\n"}).decode())
    reasoning = (ReasoningPart(text=f"it is {value}", signature="sig"), ReasoningPart(text="fine", signature="kept"))
    event = AssistantMessage(message_id="m", model="a/b", text=value, reasoning=reasoning, tool_calls=(call,))
    clean = secrets.redact(event, "conv-1")
    assert value not in msgspec.json.encode(clean).decode()
    arguments = msgspec.json.decode(clean.tool_calls[0].arguments)
    assert arguments == {"content": f"a\n{clean.text}\n"} and clean.text == placeholder_in(clean.text)
    assert [part.signature for part in clean.reasoning] == ["", "kept"], "what was signed is not there any more"
    state = ToolResult(message_id="m", call_id="c", name="Bash", status="ok", content=(), state={"cwd": value})
    assert value not in msgspec.json.encode(secrets.redact(state, "conv-1")).decode()


def test_an_event_without_a_secret_is_the_same_object() -> None:
    picture = ImagePart(media_type="image/png", data="AKIA" + "Q7XR2KD9VN4TB8LM" * 40)
    event = ToolResult(message_id="m", call_id="c", name="Read", status="ok", content=(TextPart(text="a"), picture))
    assert Secrets().redact(event, "conv-1") is event


@given(st.text(max_size=300))
def test_any_text_is_cleaned_once(text: str) -> None:
    vault = Vault()
    clean = vault.clean(f"{text}\nTOKEN=aB3dE6gH9jK2mN\n")
    assert vault.clean(clean) == clean


def test_nothing_of_a_vault_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    vault = Vault()
    vault.clean(CANARIES[2].line)
    del vault
    gc.collect()
    assert [*tmp_path.rglob("*")] == []


HARMLESS = (
    "commit 0123456789abcdef0123456789abcdef01234567\nindex 83db48f..bf2a1c3 100644\n",
    '"integrity": "sha512-' + "Ab3dE6gH9jK2mN5pQ8sT1vW4yZ7+/" * 3 + '=="\n',
    "id: 123e4567-e89b-12d3-a456-426614174000\n",
    "SHA256 (a.tar.gz) = e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n",
    "src: data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4\n",
    "password = get_password(user2)\ntoken = self.tokens[index1]\nsecret: str = field(default=None)\n",
    "auth.basic = { username: basic[0], password: basic[1] }\naws_secret_access_key=s3_aws_secret_access_key,\n",
    "#define sk_X509_EXTENSION_find_ex sk_find\noutput_cost_per_token: 3.2000000000000003e-06\n",
    "https://example.org:8080/a@b and git@github.com:letta-ai/letta-code.git\n",
    "max_tokens: 128000, tokenizer: cl100k_base, key: value1, monkey_patch2=True\n",
)


@pytest.mark.parametrize("text", HARMLESS)
def test_ordinary_code_is_left_alone(text: str) -> None:
    assert Vault().clean(text) == text
