"""Choosing: the best sandbox that works, an honest word where it is not the best, and never another one silently."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_code.host.probe import landlock_version
from letta_code.safety.rules import Rules, parse_rule, parse_rules
from letta_code.safety.sandboxes import choose as chosen
from letta_code.safety.sandboxes.bubblewrap_probe import Probe
from letta_code.safety.sandboxes.choose import Territory, Wish, choose
from letta_code.safety.sandboxes.late import LateSandbox

NO_BWRAP = Probe(says="bubblewrap (bwrap) is not installed.", mend="sudo apt-get install bubblewrap")


@pytest.fixture
def territory(tmp_path: Path) -> Territory:
    return around(tmp_path, str(tmp_path / "work"))


def around(folder: Path, root: str, home: str = "") -> Territory:
    """The territory of a work tree; all else lies in `folder`."""
    home = home or str(folder / "home")
    return Territory(root=root, temp=str(folder / "t"), home=home, letta_home=f"{home}/.letta")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    chosen._landlock.cache_clear()  # what another test made it believe
    yield
    chosen._landlock.cache_clear()


def machine(
    monkeypatch: pytest.MonkeyPatch,
    *,
    bwrap: Probe = NO_BWRAP,
    landlock: int = 7,
    platform: str = "linux",
    cpu: str = "",
) -> None:
    """What is found on this machine."""
    monkeypatch.setattr(chosen, "_probed", lambda root: bwrap)
    monkeypatch.setattr("letta_code.host.probe.landlock_version", lambda: landlock)
    monkeypatch.setattr("sys.platform", platform)
    if cpu:
        monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "here", "6", "1", cpu)))


def test_bubblewrap_where_it_works(monkeypatch: pytest.MonkeyPatch, territory: Territory) -> None:
    machine(monkeypatch, bwrap=Probe(program="/usr/bin/bwrap"))
    for wish in ("auto", "bubblewrap"):
        held = choose(wish, territory).containment
        assert (held.kind, held.confines, held.mend) == ("bubblewrap", True, "")


@pytest.mark.parametrize(
    ("root", "named"),
    [
        ("/", "is the whole disk"),
        ("HOME", "is your home folder"),
        ("ABOVE", "has your home folder in it"),
        ("HOME/.config", "your programs and their settings"),
        ("HOME/.local", "your programs and their settings"),
        ("/usr", "is a folder of the system"),
        ("/var", "is a folder of the system"),
        ("/var/tmp", "is a folder of the system"),
        ("/etc", "is a folder of the system"),
        ("/etc/profile.d", "lies in a folder of the system"),
    ],
)
def test_a_tree_in_which_later_programs_lie_is_not_contained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: str, named: str
) -> None:
    """Its `.bashrc`, there or not yet, would run outside: everything is asked about."""
    machine(monkeypatch, bwrap=Probe(program="/usr/bin/bwrap"))
    home = str(tmp_path / "people/me")
    root = root.replace("HOME", home).replace("ABOVE", str(tmp_path / "people"))
    held = choose("auto", around(tmp_path, root, home)).containment
    assert (held.kind, held.confines) == ("bubblewrap", False)
    assert named in held.says and "every command is asked about" in held.says


@pytest.mark.parametrize(
    "root", ["/usr/src/app", "/var/www/html", "/opt/app", "/tmp/x", "HOME/code", "/run/media/me/x"]
)
def test_a_project_s_folder_is_contained_wherever_it_lies(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: str
) -> None:
    machine(monkeypatch, bwrap=Probe(program="/usr/bin/bwrap"))
    home = str(tmp_path / "people/me")
    assert choose("auto", around(tmp_path, root.replace("HOME", home), home)).containment.confines


def test_seatbelt_too_does_not_contain_a_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(monkeypatch, platform="darwin")
    monkeypatch.setattr("letta_code.safety.sandboxes.seatbelt.PROGRAM", "/bin/sh")
    monkeypatch.setattr("letta_code.safety.sandboxes.seatbelt.Seatbelt.tried", lambda self: "")
    home = str(tmp_path / "me")
    for root, confines in ((home, False), (f"{home}/code", True)):
        held = choose("auto", around(tmp_path, root, home)).containment
        assert (held.kind, held.confines) == ("seatbelt", confines)


@pytest.mark.skipif(landlock_version() < 3, reason="the kernel has no Landlock that could be tried")
def test_landlock_says_what_it_is_not_and_what_mends_it(monkeypatch: pytest.MonkeyPatch, territory: Territory) -> None:
    machine(monkeypatch)
    held = choose("auto", territory).containment
    assert (held.kind, held.confines, held.mend) == ("landlock", False, "sudo apt-get install bubblewrap")
    assert held.says.startswith("bubblewrap (bwrap) is not installed. ")
    assert "every command is asked about" in held.says
    wished = choose("landlock", territory).containment
    assert (wished.kind, wished.mend) == ("landlock", "")


@pytest.mark.parametrize(
    ("landlock", "cpu", "why"),
    [
        (0, "", "The kernel has no Landlock."),
        (2, "", "version 2; 3 (Linux 6.2) is the oldest"),
        (7, "riscv64", "processors of type riscv64"),
    ],
)
def test_none_says_why_and_what_mends_it(
    monkeypatch: pytest.MonkeyPatch, territory: Territory, landlock: int, cpu: str, why: str
) -> None:
    machine(monkeypatch, landlock=landlock, cpu=cpu)
    held = choose("auto", territory).containment
    assert (held.kind, held.confines, held.mend) == ("none", False, "sudo apt-get install bubblewrap")
    assert held.says.startswith("bubblewrap (bwrap) is not installed. ") and why in held.says
    assert held.says.endswith("each one is asked about.")


def test_a_landlock_that_does_not_start_a_command_is_not_used(
    monkeypatch: pytest.MonkeyPatch, territory: Territory
) -> None:
    machine(monkeypatch)
    monkeypatch.setattr("letta_code.safety.sandboxes.landlock.trial", lambda: ["/bin/sh", "-c", "echo no; exit 125"])
    held = choose("auto", territory).containment
    assert (held.kind, "Landlock does not work here (no)." in held.says) == ("none", True)


@pytest.mark.parametrize(
    ("wish", "platform"),
    [
        ("bubblewrap", "linux"),
        ("seatbelt", "linux"),
        ("auto", "darwin"),
        ("seatbelt", "darwin"),
        ("bubblewrap", "darwin"),
        ("landlock", "darwin"),
        ("auto", "freebsd13"),
    ],
)
def test_a_wished_one_that_does_not_work_is_none(
    monkeypatch: pytest.MonkeyPatch, territory: Territory, wish: Wish, platform: str
) -> None:
    machine(monkeypatch, platform=platform)
    held = choose(wish, territory).containment
    assert (held.kind, held.confines) == ("none", False)
    assert "asked about" in held.says


def test_nothing_is_looked_for_where_it_is_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chosen, "_probed", lambda root: pytest.fail("it was looked for"))
    held = LateSandbox("off", str(tmp_path), str(tmp_path)).containment
    assert (held.kind, held.confines) == ("none", False)


def test_the_rules_say_how_far_the_web_reaches() -> None:
    rules = Rules.of(
        [*parse_rules(["Net(mirror.internal)", "Net(*.example)"], "allow"), parse_rule("Net(a.example)", "deny")]
    )
    reach = chosen._admitted(lambda: rules)
    hosts = ("mirror.internal", "b.example", "a.example", "other.test")
    assert [reach(host, 443) for host in hosts] == ["named", "world", "nowhere", "nowhere"]
