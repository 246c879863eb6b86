"""Hidden: the places of a person that a confined command does not see, and sockets that would lead out of it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from letta_code.safety.containment import Grant
from letta_code.safety.places import is_within

# Below the home folder.  What only exists on other systems costs a look each.
SECRETS = (
    *(".ssh", ".aws", ".gnupg", ".kube", ".azure", ".password-store", ".docker/config.json", ".docker/run", ".netrc"),
    *(".pgpass", ".my.cnf", ".git-credentials", ".config/git/credentials", ".pypirc", ".npmrc", ".yarnrc.yml"),
    *(".config/gh", ".config/hub", ".config/glab-cli", ".config/gcloud", ".config/op", ".config/doctl"),
    *(".config/rclone", ".config/containers/auth.json", ".config/sops", ".config/age"),
    *(".terraform.d/credentials.tfrc.json", ".vault-token", ".cargo/credentials", ".cargo/credentials.toml"),
    *(".gem/credentials", ".m2/settings.xml", ".m2/settings-security.xml", ".gradle/gradle.properties"),
    *(".local/share/keyrings", ".kde/share/apps/kwallet", ".local/share/kwalletd", ".mozilla", ".thunderbird"),
    *(".config/google-chrome", ".config/chromium", ".config/BraveSoftware", ".config/vivaldi"),
    *(".config/microsoft-edge", ".config/opera", ".config/Signal", ".config/Slack", ".config/discord"),
    *("snap/firefox", ".var/app/org.mozilla.firefox", ".var/app/com.google.Chrome", ".electrum", ".bitcoin"),
    *(".ethereum", ".claude/.credentials.json", ".claude.json", ".codex/auth.json", ".gemini/oauth_creds.json"),
    *(".letta", ".config/openai", ".config/anthropic", ".huggingface/token", ".cache/huggingface/token"),
    *(".bash_history", ".zsh_history", ".python_history", ".node_repl_history", ".psql_history", ".mysql_history"),
    *(".config/fish/fish_history", ".local/share/fish/fish_history"),
)  # fmt: skip
# What git logs in with by HTTP, and beside it by ssh.
_LOGINS = (".git-credentials", ".config/git/credentials", ".config/gh", ".config/hub", ".netrc")
_SSH = ".ssh"
_OF_THE_SYSTEM = ("/etc/shadow", "/etc/shadow-", "/etc/ssl/private")
_DOOR = re.compile(r"(/.*/cache/sandbox)/[0-9a-f]{16}/proxy-[0-9-]+")
_RUN_SHOWN = ("/run/current-system", "/run/wrappers", "/run/opengl-driver", "/run/host", "/run/systemd/resolve")


def secrets(home: str, grant: Grant) -> Iterator[str]:
    """Real paths that exist and hold secrets, of the home folder and of the system, but for those to log in with."""
    shown = (*_LOGINS, *([_SSH] if logs_in_by_ssh(grant) else [])) if grant.logins else ()
    for name in SECRETS:
        if name in shown:
            continue
        path = f"{home}/{name}"
        if os.path.lexists(path):
            yield os.path.realpath(path)
    for path in _OF_THE_SYSTEM:
        if os.access(path, os.R_OK):  # for root alone
            yield os.path.realpath(path)


def logs_in_by_ssh(grant: Grant) -> bool:
    """Whether the person's keys and their agent are seen: what has the web alone has no use for them."""
    return grant.logins and grant.network == "open"


def shown_in_run() -> Iterator[str]:
    """Folders of /run that programs need: what NixOS keeps there, and the names of the resolver."""
    return (path for path in _RUN_SHOWN if os.path.isdir(path) and not os.path.islink(path))


def sockets(*left_alone: str) -> Iterator[str]:
    """Real paths of unix sockets somebody listens at, but for those in folders that are `left_alone`.

    A read-only mount does not keep a command from connecting to one (docker, an agent of keys, the desktop).
    """
    try:
        with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
            rows = [line.split(None, 7) for line in file]
    except OSError:
        return
    for row in rows[1:]:
        # Num RefCount Protocol Flags Type St Inode Path; 00010000 is a socket that listens, a datagram one has no mark.
        path = row[7].rstrip("\n") if len(row) == 8 else ""
        if not path.startswith("/"):
            continue  # without a name, or with one that belongs to the network namespace
        real = os.path.realpath(path)
        if os.path.exists(real) and not any(is_within(real, folder) for folder in left_alone):
            yield real


def doors(path: str) -> str:
    """The folder in which another letta-code, with a home of its own, has the doors of its proxy, "" for any other."""
    found = _DOOR.fullmatch(path)
    return found[1] if found and os.path.isdir(found[1]) else ""
