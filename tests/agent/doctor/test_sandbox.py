"""The doctor's look at the sandbox: which one holds, what it does not do, what mends it, and whether it holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from letta_code.agent.doctor import sandbox as check
from letta_code.agent.doctor.base import Finding, Look, examine
from letta_code.config.paths import Paths
from letta_code.host.probe import landlock_version
from letta_code.safety.containment import Confined, Containment, Grant
from letta_code.safety.sandboxes.choose import choose

MEND = "sudo apt-get install bubblewrap"


def looked(home: Path, wish: str) -> Finding:
    environ = {"PATH": os.environ["PATH"], "LETTA_SANDBOX": wish}
    [found] = examine(Look(paths=Paths(home=home), cwd=str(home), seconds=30.0, environ=environ), ["sandbox"])
    return found


class Claims:
    """A sandbox that says it holds; what it does is in its argv."""

    def __init__(self, *argv: str, confines: bool = True, kind: str = "bubblewrap", mend: str = "") -> None:
        self.containment = Containment(kind=kind, confines=confines, says="It holds.", mend=mend)  # type: ignore[arg-type]  # one of the kinds
        self._argv = argv

    def confine(self, argv: Sequence[str], cwd: str, env: Mapping[str, str], grant: Grant) -> Confined:
        return Confined(argv=(*self._argv, *argv), env=env)

    def close(self) -> None: ...


@pytest.mark.parametrize("wish", ["bubblewrap", "landlock"])
def test_what_works_here_is_tried(tmp_path: Path, wish: str) -> None:
    found = looked(tmp_path / "home", wish)
    if "Tried just now" not in found.says:
        pytest.skip(found.says)
    assert found.state == ("ok" if wish == "bubblewrap" else "warning")
    assert found.says.endswith("Tried just now: it held.")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ((), "could write outside the work tree"),
        (("/bin/sh", "-c", 'chmod a-w ../elsewhere; shift 6; echo net > "$1"', "sh"), "could reach the network"),
        (("/bin/sh", "-c", "echo bad setup; exit 1", "sh"), "could not write in the work tree (bad setup)"),
    ],
)
def test_a_sandbox_that_does_not_hold_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: tuple[str, ...], says: str
) -> None:
    monkeypatch.setattr(check, "choose", lambda wish, at: Claims(*argv))
    found = looked(tmp_path / "home", "auto")
    assert found.state == "wrong" and says in found.says, found
    assert found.mend


def test_none_is_a_warning_with_what_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "choose", lambda wish, at: Claims(confines=False, kind="none", mend=MEND))
    found = looked(tmp_path / "home", "auto")
    assert (found.state, found.says, found.mend) == ("warning", "It holds.", MEND)


@pytest.mark.skipif(landlock_version() < 3, reason="the kernel has no Landlock that could be tried")
def test_a_weak_one_says_what_it_does_not_do_and_what_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from letta_code.safety.sandboxes import choose as chosen
    from letta_code.safety.sandboxes.bubblewrap_probe import Probe

    monkeypatch.setattr(chosen, "_probed", lambda root: Probe(says="bubblewrap (bwrap) is not installed.", mend=MEND))
    monkeypatch.setattr(check, "choose", choose)
    found = looked(tmp_path / "home", "auto")
    assert (found.state, found.mend) == ("warning", MEND)
    assert found.says.startswith("bubblewrap (bwrap) is not installed. Landlock holds commands")


def test_switched_off_is_told_with_the_way_back(tmp_path: Path) -> None:
    found = looked(tmp_path / "home", "off")
    assert (found.state, found.mend) == ("skipped", "unset LETTA_SANDBOX")
    assert "each one is asked about" in found.says
