"""The doctor's border: no check can stop the others, hold them up, or change anything."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from letta_code.agent.doctor.base import Check, Finding, Look, examine, load_checks
from letta_code.config.paths import Paths
from tests.fakes.lived_in import content, lived_in

FINE = Finding(check="b", what="it", state="ok", says="Fine.")


def _look(home: Path, seconds: float = 5.0) -> Look:
    return Look(paths=Paths(home=home), cwd=str(home.parent), seconds=seconds, environ={"PATH": os.environ["PATH"]})


def test_a_check_that_breaks_is_a_finding_and_the_next_goes_on(tmp_path: Path) -> None:
    def breaks(_: Look) -> Iterator[Finding]:
        yield Finding(check="a", what="first", state="ok", says="Fine.")
        raise RuntimeError("planted")

    checks = [
        Check(name="a", place=1, run=breaks, seconds=1),
        Check(name="b", place=2, run=lambda _: [FINE], seconds=1),
    ]
    found = list(examine(_look(tmp_path), checks=checks))
    assert [(one.check, one.state) for one in found] == [("a", "ok"), ("a", "wrong"), ("b", "ok")]
    assert "RuntimeError: planted" in found[1].says and found[1].mend


def test_a_check_that_hangs_is_left_alone_and_what_it_found_is_kept(tmp_path: Path) -> None:
    free = threading.Event()

    def hangs(_: Look) -> Iterator[Finding]:
        yield Finding(check="a", what="first", state="ok", says="Fine.")
        free.wait(60)

    checks = [
        Check(name="a", place=1, run=hangs, seconds=0.1),
        Check(name="b", place=2, run=lambda _: [FINE], seconds=5),
    ]
    try:
        found = list(examine(_look(tmp_path, seconds=0.1), checks=checks))
    finally:
        free.set()
    assert [one.state for one in found] == ["ok", "warning", "ok"] and "left alone" in found[1].says


def test_every_check_is_there_once_and_an_empty_home_is_no_fault(tmp_path: Path) -> None:
    names = [one.name for one in load_checks()]
    assert names == ["store", "memory", "index", "config", "disk", "tools", "sandbox", "terminal", "models"]
    found = list(examine(_look(tmp_path / "none"), ["store", "memory", "index", "config"]))
    assert {one.state for one in found} <= {"ok", "skipped"} and not (tmp_path / "none").exists()


def test_looking_changes_nothing(tmp_path: Path) -> None:
    home = lived_in(tmp_path / "home")
    (home / "credentials.yaml").chmod(0o644)
    tops = ("agents", "shared", "conversations", "skills")
    before = content(home, *tops), (home / "letta.db").read_bytes()
    found = list(examine(_look(home)))
    assert (content(home, *tops), (home / "letta.db").read_bytes()) == before
    assert (home / "credentials.yaml").stat().st_mode & 0o777 == 0o644
    assert any(one.check == "config" and one.state == "wrong" for one in found)
    assert not any("sk-very-secret" in f"{one.says}{one.means}{one.mend}" for one in found)


@pytest.mark.parametrize("seed", range(40))
def test_no_damage_makes_a_check_break_or_hang(tmp_path: Path, seed: int) -> None:
    home = lived_in(tmp_path / "home")
    dice = random.Random(seed)
    files = sorted(path for path in home.rglob("*") if path.is_file())
    for path in dice.sample(files, 4):
        _damage(path, dice)
    found = list(examine(_look(home)))
    assert [one for one in found if one.what == "the check itself"] == []
    assert all(one.mend for one in found if one.state == "wrong")


def _damage(path: Path, dice: random.Random) -> None:
    data = bytearray(path.read_bytes())
    kind = dice.choice(["empty", "cut", "bits", "noise", "folder", "pipe", "device"])
    if kind in ("folder", "pipe", "device"):
        path.unlink()
        match kind:
            case "folder":
                path.mkdir()
            case "pipe":
                os.mkfifo(path)
            case _:
                path.symlink_to("/dev/zero")
        return
    if kind == "empty":
        data.clear()
    elif kind == "cut":
        del data[dice.randint(0, len(data)) :]
    elif kind == "noise":
        data = bytearray(dice.randbytes(3000))
    else:
        for _ in range(30 if data else 0):
            data[dice.randrange(len(data))] = dice.randrange(256)
    path.write_bytes(data)
