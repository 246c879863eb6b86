"""Refused: what a command printed that a sandbox probably stopped, and the one line that says what to do."""

from __future__ import annotations

import re

from letta_code.safety.containment import Grant

_LAST = 4000  # characters of the output in which a refusal is looked for
_GIT = re.compile(r"[/'\" ]\.git/\S*.{0,80}Read-only file system|could not lock config file|index\.lock")
_NO_LOGIN = re.compile(r"could not read Username|Permission denied \(publickey|Host key verification failed")
_READ_ONLY = re.compile(r"Read-only file system|EROFS|errno 30\b", re.IGNORECASE)
_NO_NETWORK = re.compile(
    r"Could not resolve host|Temporary failure in name resolution|Name or service not known|Network is unreachable|"
    r"getaddrinfo|EAI_AGAIN|ENOTFOUND|ENETUNREACH|no such host|dns error|nodename nor servname|"
    r"Could not resolve hostname|failed to lookup address|Failed to resolve",
    re.IGNORECASE,
)
_NOT_REACHED = re.compile(r"(?:localhost|127\.0\.0\.1|::1|loopback).{0,80}(?:refused|ECONNREFUSED)|"
                          r"(?:refused|ECONNREFUSED).{0,40}(?:localhost|127\.0\.0\.1|::1)", re.IGNORECASE)  # fmt: skip


def refused_by_sandbox(output: str, grant: Grant) -> str:
    """The line for a failed command that ran in a sandbox; "" when nothing looks like its doing."""
    last = output[-_LAST:]
    if _READ_ONLY.search(last) or _GIT.search(last):
        if _GIT.search(last):
            return (
                "[sandbox: .git is read-only here. Run git add, commit, restore, switch, branch, stash, merge or tag "
                "(or fetch, pull, rebase: the person is asked) as a call of its own, or use the Git tool]"
            )
        return (
            "[sandbox: only the work tree and $TMPDIR can be written. If it must write elsewhere, call again with "
            'needs="outside"; the person is asked]'
        )
    if not grant.logins and _NO_LOGIN.search(last):
        return (
            "[sandbox: git gets the person's credentials only where nothing but git runs. Run that git command as a "
            "call of its own; the person is asked]"
        )
    if grant.network == "off" and _NO_NETWORK.search(last):
        return '[sandbox: there is no network. If it needs one, call again with needs="network"; the person is asked]'
    if grant.network != "open" and _NOT_REACHED.search(last):
        return (
            "[sandbox: each call has a loopback of its own. Start the server in the same call, or call again with "
            'needs="outside"; the person is asked]'
        )
    return ""
