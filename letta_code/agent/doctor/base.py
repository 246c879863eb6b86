"""Base of the checks: what one finds, how they are registered, and that none can stop or hold up the others."""

from __future__ import annotations

import importlib
import os
import pkgutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from letta_code.config.paths import Paths
from letta_code.core.messages import Value

State: TypeAlias = Literal["ok", "warning", "wrong", "skipped"]
FIX = "letta-code doctor --fix"
_NOT_CHECKS = ("base", "lost", "mends")


class Mend(Value, frozen=True):
    """A safe mend that `doctor --fix` does: `kind` is one of `mends.MENDS`, `path` what it is done to."""

    kind: str
    path: str


class Finding(Value, frozen=True):
    """One thing that was looked at.

    `what` is what was looked at, `says` a sentence, `means` what that means for the person ("" where it is plain),
    `mend` the one command that mends it ("" where there is nothing to mend); `fix` is set where `--fix` does it.
    """

    check: str
    what: str
    state: State
    says: str
    means: str = ""
    mend: str = ""
    fix: Mend | None = None


class Telling:
    """Makes the findings of one check."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(
        self, what: str, state: State, says: str, means: str = "", mend: str = "", *, fix: Mend | None = None
    ) -> Finding:
        return Finding(check=self._name, what=what, state=state, says=says, means=means, mend=mend, fix=fix)


class Look(Value, frozen=True):
    """Where to look: the home, the folder that letta-code was started in, the environment.

    `seconds` is what reading a whole database may take; `online` lets the model be asked.
    """

    paths: Paths
    cwd: str
    environ: Mapping[str, str] = msgspec.field(default_factory=lambda: dict(os.environ))
    online: bool = False
    seconds: float = 30.0


Run: TypeAlias = Callable[[Look], Iterable[Finding]]


class Check(Value, frozen=True):
    """A check: its place in the list, how long it may take beyond the look's own seconds."""

    name: str
    place: int
    run: Run
    seconds: float


_registry: dict[str, Check] = {}


def check(name: str, place: int, *, seconds: float = 20.0) -> Callable[[Run], Run]:
    """Register a function that yields findings."""

    def register(run: Run) -> Run:
        _registry[name] = Check(name=name, place=place, run=run, seconds=seconds)
        return run

    return register


def load_checks() -> list[Check]:
    """All checks in their order; one whose module cannot be loaded is a check that says so."""
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.name in _NOT_CHECKS:
            continue
        try:
            importlib.import_module(f"letta_code.agent.doctor.{module.name}")
        except ImportError as error:
            _registry[module.name] = _broken(module.name, str(error))
    return sorted(_registry.values(), key=lambda one: (one.place, one.name))


def _broken(name: str, why: str) -> Check:
    finding = Finding(
        check=name,
        what="the check itself",
        state="wrong",
        says=f"It cannot be loaded: {why}.",
        means="letta-code is not installed whole.",
        mend="pip install --force-reinstall letta-code",
    )
    return Check(name=name, place=99, run=lambda _: [finding], seconds=1.0)


def examine(look: Look, names: Sequence[str] = (), checks: Sequence[Check] | None = None) -> Iterator[Finding]:
    """Run the checks one after the other, each under its own guard and time limit; findings as they come."""
    for one in load_checks() if checks is None else checks:
        if not names or one.name in names:
            yield from _guarded(one, look)


def _guarded(one: Check, look: Look) -> Iterator[Finding]:
    found: list[Finding] = []

    def work() -> None:
        try:
            found.extend(one.run(look))  # a generator's findings are there as they come
        except BaseException as error:  # noqa: BLE001 - a border: damage that a check did not foresee is a finding
            found.append(
                Finding(
                    check=one.name,
                    what="the check itself",
                    state="wrong",
                    says=f"It broke off: {type(error).__name__}: {error}",
                    means="What it looks at is damaged in a way that it does not know.",
                    mend="letta-code backup, then report this line",
                )
            )

    # Not joined for ever: a file system that does not answer must not hold up the rest.
    thread = threading.Thread(target=work, name=f"doctor-{one.name}", daemon=True)
    thread.start()
    told, end = 0, time.monotonic() + one.seconds + look.seconds
    while thread.is_alive() and time.monotonic() < end:
        thread.join(0.05)
        while told < len(found):
            yield found[told]
            told += 1
    late = thread.is_alive()
    yield from list(found)[told:]
    if late:
        yield Finding(
            check=one.name,
            what="the check itself",
            state="warning",
            says=f"It did not end within {one.seconds + look.seconds:.0f} s and was left alone.",
            means="The disk or a program does not answer, or there is very much to look at.",
            mend=f"letta-code doctor {one.name} --seconds 600",
        )
