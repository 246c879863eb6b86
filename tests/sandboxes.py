"""What may hold commands: a fixture that plays a test with bubblewrap, with Landlock alone and with neither."""

from __future__ import annotations

import tempfile
from functools import cache
from typing import cast

import pytest

from letta_code.safety.sandboxes.choose import Territory, Wish, choose

SANDBOXES = ("bubblewrap", "landlock", "off")


@cache
def lacking(name: str) -> str:
    """Why this sandbox does not work on this machine, "" where it does."""
    if name == "off":
        return ""
    with tempfile.TemporaryDirectory() as folder:
        made = choose(cast(Wish, name), Territory(root=folder, temp=folder, home=folder, letta_home=folder))
        try:
            return "" if made.containment.kind == name else made.containment.says
        finally:
            made.close()


def chosen(name: str) -> str:
    """What a wish comes to here: `auto` is the best that works."""
    return name if name != "auto" else next(one for one in SANDBOXES if not lacking(one))


@pytest.fixture(params=SANDBOXES)
def sandbox(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What confines commands, for sessions of this process and for programs that it starts."""
    name = str(request.param)
    if why := lacking(name):
        pytest.skip(f"no {name} here: {why}")
    monkeypatch.setenv("LETTA_SANDBOX", name)
    return name
