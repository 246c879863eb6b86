"""Network programs: commands that are of no use without the network, and those that must leave the sandbox whole."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

from letta_code.safety.containment import Network

# Of these every use needs it: by HTTP(S), so that a proxy can check the host, or as it is.
_ALWAYS: Mapping[str, Network] = {
    **dict.fromkeys(
        ("curl", "wget", "http", "https", "xh", "aria2c", "gh", "glab", "hub", "twine", "gsutil", "gcloud", "aws", "az",
         "kubectl", "helm", "heroku", "vercel", "netlify", "flyctl", "fly", "wrangler", "firebase", "huggingface-cli",
         "hf", "youtube-dl", "yt-dlp", "lynx", "w3m", "links", "uvx", "pipx", "conda", "mamba", "micromamba",
         "ncu", "npm-check-updates"),
        "proxy",
    ),
    **dict.fromkeys(
        ("ssh", "scp", "sftp", "mosh", "telnet", "ftp", "nc", "ncat", "netcat", "socat", "ping", "ping6", "traceroute",
         "dig", "nslookup", "host", "whois", "nmap", "ssh-copy-id", "ssh-keyscan",
         "rclone", "mail", "sendmail", "mutt", "iperf", "iperf3"),
        "open",
    ),
}  # fmt: skip
# Of these some subcommands need it.  A build or a test is not here: it works offline when everything is there already,
# and says so when it is not.  "" is the program without a subcommand.
_BY_SUBCOMMAND: Mapping[str, frozenset[str]] = {
    name: frozenset(subcommands.split())
    for name, subcommands in {
        "pip": "install download wheel search index", "pip3": "install download wheel search index",
        "uv": "add remove python self", "poetry": "add update lock publish search self",
        "pipenv": "install update lock sync", "pdm": "install add update lock sync publish", "rye": "sync add lock",
        "hatch": "publish", "flit": "publish",
        "npm": "install i ci add update up upgrade publish view info show v outdated audit search login whoami ping "
        "create init exec x dedupe unpublish deprecate dist-tag",
        "pnpm": "install i add update up publish outdated audit dlx create fetch import view info",
        "yarn": "install add up upgrade dlx outdated audit npm info create publish global",
        "bun": "install i add update x create publish outdated", "bunx": "",
        "deno": "cache install add publish upgrade",
        "cargo": "add install update fetch search publish login yank owner",
        "rustup": "update install toolchain target component self", "go": "get install",
        "gem": "install update push fetch search", "bundle": "update add outdated",
        "composer": "install update require create-project outdated", "cpan": "", "cpanm": "",
        "mix": "deps.get deps.update hex.publish local.hex", "terraform": "init plan apply destroy login providers",
        "tofu": "init plan apply destroy", "pulumi": "up preview destroy", "playwright": "install",
        "gradle": "publish", "cabal": "update install", "stack": "upload", "opam": "update install",
        "luarocks": "install", "nix": "build shell develop run flake", "ansible-galaxy": "install",
        "dvc": "push pull fetch", "ollama": "pull push",
    }.items()
}  # fmt: skip
_BARE = {"yarn"}  # without a subcommand it installs
# What talks to a service of this machine, or changes the machine: no sandbox can let that through bit by bit.
_OUTSIDE = {
    "sudo", "doas", "su", "docker", "docker-compose", "podman", "nerdctl", "buildah", "minikube", "kind", "vagrant",
    "systemctl", "service", "loginctl", "journalctl", "apt", "apt-get", "aptitude", "dpkg", "yum", "dnf", "rpm",
    "pacman", "apk", "zypper", "snap", "flatpak", "brew", "port", "mount", "umount", "modprobe", "insmod", "iptables",
    "nft", "ufw", "useradd", "usermod", "userdel", "passwd", "chsh", "visudo", "reboot", "shutdown", "poweroff",
    "launchctl", "osascript", "open", "xdg-open", "notify-send", "at", "batch", "systemd-run", "machinectl", "tmux",
    "screen", "dbus-send", "gdbus", "busctl", "pkexec", "bwrap", "unshare", "nsenter", "firejail", "chroot",
}  # fmt: skip
_ONLY_SHOW = {"--version", "-V", "--help", "-h", "version", "help"}
_PYTHONS = re.compile(r"python[\d.]*\Z|pypy[\d.]*\Z")
_REMOTE_PLACE = re.compile(r"(?:[\w.-]+@)?[\w.-]+:(?!\\)(?!//)\S*\Z|rsync://|ssh://")
# Clients of a data base: on this machine unless a host is named.
_CLIENTS = {"psql", "mysql", "mongosh", "mongo", "redis-cli", "pg_dump", "mysqldump", "pg_isready"}
_FETCHERS = {"curl", "wget", "http", "xh"}
_LOOPBACK = re.compile(
    r"(?:[a-z]+://)?(?:[^/@]*@)?(?:localhost|127\.[\d.]+|\[::1\]|0\.0\.0\.0)(?::[\d${}A-Za-z_]+)?(?:[/?].*)?\Z"
)
_PLACE = re.compile(r"[a-z][a-z0-9+.-]*://|[\w-]+\.[a-z]{2,}(?:[:/]|\Z)")
# Words of their own that stand before the subcommand and take a value (`npm --prefix web install`).
_VALUED = {"--prefix", "-C", "--cwd", "--dir", "--filter", "-F", "--directory", "--project", "-p", "--manifest-path"}


def network_of(words: Sequence[str]) -> Network:
    """What a command cannot do without: `off` when it needs no network (or only where something is missing)."""
    if not words or _only_shows(words):
        return "off"
    name, rest = os.path.basename(words[0]), list(words[1:])
    if _PYTHONS.match(name) and rest[:1] == ["-m"] and len(rest) > 1:
        return network_of(rest[1:]) if rest[1] in {"pip", "pipx", "twine", "poetry", "pipenv", "conda"} else "off"
    if name == "rsync":
        return "open" if any(_REMOTE_PLACE.match(word) for word in rest if not word.startswith("-")) else "off"
    if name == "openssl":
        return "open" if rest[:1] == ["s_client"] else "off"
    if name in _CLIENTS:
        places = [word for word in rest if word.startswith(("-h", "--host", "-u")) or _PLACE.match(word)]
        return "off" if all(_names_loopback(word, rest) for word in places) else "open"
    if name in _FETCHERS and _only_loopback(rest):
        return "off"  # the sandbox has a loopback of its own: it reaches what the same command started
    always = _ALWAYS.get(name)
    if always is not None:
        return always
    subcommands = _BY_SUBCOMMAND.get(name)
    if subcommands is None:
        return "off"
    return "proxy" if _needs_proxy(name, subcommands, rest) else "off"


def _only_loopback(words: Sequence[str]) -> bool:
    places = [word for word in words if _LOOPBACK.match(word) or (not word.startswith("-") and _PLACE.match(word))]
    return bool(places) and all(_LOOPBACK.match(word) for word in places)


def _names_loopback(word: str, words: Sequence[str]) -> bool:
    value = word.partition("=")[2] or (word[2:] if word[:2] in {"-h", "-u"} else word)
    if word in {"-h", "--host", "-u"}:
        value = next((after for before, after in pairwise(words) if before == word), "")
    return _LOOPBACK.match(value) is not None or value.startswith("/")


def _needs_proxy(name: str, subcommands: frozenset[str], rest: list[str]) -> bool:
    sub, after = _subcommand(rest)
    if not sub:
        return name in _BARE or not subcommands
    if not subcommands:
        return True
    if name == "uv" and sub in {"pip", "tool"}:
        inner, _ = _subcommand(after)
        return inner in {"install", "sync", "compile", "upgrade", "run"}
    if "--offline" in after or ("--no-index" in after and name.startswith("pip")) or "--dry-run" in after:
        return "--dry-run" in after and name not in {"npm", "cargo"}
    return sub in subcommands


def _subcommand(words: Sequence[str]) -> tuple[str, list[str]]:
    """The first word that is no option, and what follows it."""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        at += 2 if words[at] in _VALUED else 1
    return (words[at], list(words[at + 1 :])) if at < len(words) else ("", [])


def leaves_whole(words: Sequence[str]) -> bool:
    """Whether a program works only without any sandbox: it talks to a service of the machine, or changes it."""
    if not words or _only_shows(words):
        return False
    name = os.path.basename(words[0])
    if name == "crontab":
        return "-l" not in words
    return name in _OUTSIDE or (name == "kind" and len(words) > 1)


def _only_shows(words: Sequence[str]) -> bool:
    return len(words) == 2 and words[1] in _ONLY_SHOW
