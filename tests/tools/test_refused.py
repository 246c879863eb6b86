"""What a sandbox stopped is told with what to do; other failures are left as they are."""

from __future__ import annotations

import pytest

from letta_code.safety.containment import Grant
from letta_code.tools.refused import refused_by_sandbox


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("touch: cannot touch '/etc/x': Read-only file system", 'needs="outside"'),
        ("OSError: [Errno 30] Read-only file system: '/root/.cache/x'", 'needs="outside"'),
        ("fatal: Unable to create '/w/.git/index.lock': Read-only file system", "Git tool"),
        ("error: could not lock config file .git/config: Read-only file system", "Git tool"),
        ("curl: (6) Could not resolve host: example.org", 'needs="network"'),
        ("npm ERR! code EAI_AGAIN\nnpm ERR! getaddrinfo EAI_AGAIN registry.npmjs.org", 'needs="network"'),
        ("ssh: connect to host x port 22: Network is unreachable", 'needs="network"'),
        ("curl: (7) Failed to connect to localhost port 8000: Connection refused", "same call"),
        ("E       AssertionError: assert 1 == 2", ""),
        ("make: *** [all] Error 2", ""),
    ],
)
def test_the_line(output: str, says: str) -> None:
    line = refused_by_sandbox(output, Grant())
    assert (says in line) if says else line == ""
    assert "\n" not in line


def test_a_command_that_had_the_network_is_not_told_to_ask_for_it() -> None:
    assert refused_by_sandbox("Could not resolve host: x", Grant(network="proxy")) == ""


def test_git_that_lacked_what_it_logs_in_with_is_to_run_by_itself() -> None:
    said = "fatal: could not read Username for 'https://x.org': terminal prompts disabled"
    assert "call of its own" in refused_by_sandbox(said, Grant(network="proxy"))
    assert refused_by_sandbox(said, Grant(network="proxy", git=True, logins=True)) == ""
