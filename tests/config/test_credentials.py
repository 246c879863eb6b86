"""Keys: where they are looked for, that they stay private, and what a broken file costs."""

from __future__ import annotations

import stat
import sys
import types
from pathlib import Path

import pytest

from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.core.errors import ConfigError


@pytest.fixture
def paths(letta_home: Path) -> Paths:
    return Paths.find().ensure()


def test_the_environment_goes_before_the_file(paths: Paths) -> None:
    Credentials(paths, {}).set("lan", "from-file")
    assert Credentials(paths, {"KEY": "from-env"}).get("lan", "KEY") == "from-env"
    assert Credentials(paths, {"KEY": "  "}).get("lan", "KEY") == "from-file"
    assert Credentials(paths, {}).get("lan") == "from-file"
    assert Credentials(paths, {}).get("other") == ""


def test_the_file_is_private_from_its_first_byte(paths: Paths) -> None:
    Credentials(paths, {}).set("lan", "secret")
    assert stat.S_IMODE(paths.credentials.stat().st_mode) == 0o600
    Credentials(paths, {}).set("other", "secret2")
    assert Credentials(paths, {}).names() == ("lan", "other")


def test_a_file_that_others_may_read_is_closed_and_told(paths: Paths) -> None:
    Credentials(paths, {}).set("lan", "secret")
    paths.credentials.chmod(0o644)
    credentials = Credentials(paths, {})
    assert credentials.get("lan") == "secret"
    assert stat.S_IMODE(paths.credentials.stat().st_mode) == 0o600
    assert "could be read by others" in credentials.notices[0].text


@pytest.mark.parametrize(
    "raw", [b"lan: [\n", b"- a\n", b"lan: \xff\n", b"lan: 3\n", b"lan:\n", b"lan: {a: b}\n", b"\x00", b"["]
)
def test_a_broken_file_gives_no_key_and_never_shows_one(paths: Paths, raw: bytes) -> None:
    paths.credentials.write_bytes(raw + b"# sk-very-secret\n")
    paths.credentials.chmod(0o600)
    credentials = Credentials(paths, {})
    assert credentials.get("lan") == ""
    (notice,) = credentials.notices
    assert str(paths.credentials) in notice.text and "sk-very-secret" not in notice.text + notice.hint


def test_saving_over_a_broken_file_keeps_it_aside_and_private(paths: Paths) -> None:
    paths.credentials.write_bytes(b"lan: [sk-old\n")
    Credentials(paths, {}).set("lan", "sk-new")
    (aside,) = paths.home.glob("credentials.yaml.corrupt-*")
    assert aside.read_bytes() == b"lan: [sk-old\n" and stat.S_IMODE(aside.stat().st_mode) == 0o600
    assert Credentials(paths, {}).get("lan") == "sk-new"


class FakeKeyring(types.ModuleType):
    """The part of the keyring library that is used, over a dict."""

    class errors:
        class KeyringError(Exception):
            pass

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, name: str) -> str | None:
        if self.locked:
            raise self.errors.KeyringError("locked: sk-very-secret")
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, key: str) -> None:
        if self.locked:
            raise self.errors.KeyringError("locked: sk-very-secret")
        self.kept[service, name] = key


def test_a_key_in_the_keyring_is_not_in_the_file(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    keyring = FakeKeyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    Credentials(paths, {}).set("lan", "sk-ring", keyring=True)
    assert "sk-ring" not in paths.credentials.read_text()
    assert Credentials(paths, {}).get("lan") == "sk-ring"
    keyring.locked = True
    with pytest.raises(ConfigError) as caught:
        Credentials(paths, {}).get("lan")
    assert "sk-very-secret" not in str(caught.value) and "Unlock" in caught.value.hint
