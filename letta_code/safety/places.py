"""Paths in rules: glob patterns relative to the work tree, and the places that are secret or protected."""

from __future__ import annotations

import os
import re
import unicodedata
from functools import lru_cache

_WILD = re.compile(r"(?<!\\)[*?\[]")
_GLOB = re.compile(r"\\(.)|(\*\*/)|(/\*\*)$|(\*\*)|(\*)|(\?)|(\[[^\]/]+\])|(.)", re.DOTALL)

_SECRET_FOLDERS = {".ssh", ".aws", ".gnupg", ".kube", ".docker", ".azure", ".password-store", "keyrings"}
_SECRET_NAMES = {
    ".env", ".envrc", ".netrc", ".pgpass", ".npmrc", ".pypirc", ".git-credentials", ".htpasswd", ".my.cnf",
    "credentials", "credentials.yaml", "credentials.json", "shadow", "gshadow", "sudoers",
    "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519", ".bash_history", ".zsh_history",
}  # fmt: skip
_SECRET_ENDINGS = (".pem", ".key", ".p12", ".pfx", ".jks", ".keystore", ".kdbx", ".ppk", ".tfvars")
_TEMPLATES = (".example", ".sample", ".template", ".dist", ".test")
_PROTECTED_FOLDERS = {".letta", ".vscode", ".idea"}
_PROTECTED_NAMES = {".mcp.json", ".envrc", ".gitmodules", ".gitattributes", ".pre-commit-config.yaml"}

# System folders that hold programs, headers and documentation: the same on every machine, nothing of a person.
_PUBLIC_FOLDERS = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix/store", "/snap", "/sys",
    "/etc/ssl/certs", "/etc/alternatives", "/etc/apt", "/etc/ld.so.conf.d", "/etc/profile.d", "/etc/fonts",
    "/var/lib/dpkg", "/Library", "/System", "/Applications", "/private/tmp",
)  # fmt: skip
_PUBLIC_FILES = {
    "/etc/os-release", "/etc/lsb-release", "/etc/debian_version", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf",
    "/etc/timezone", "/etc/localtime", "/etc/nsswitch.conf", "/etc/mime.types", "/etc/ld.so.conf", "/etc/shells",
    "/etc/services", "/etc/protocols", "/etc/redhat-release", "/etc/alpine-release", "/etc/issue", "/etc/locale.gen",
    "/proc/cpuinfo", "/proc/meminfo", "/proc/version", "/proc/loadavg", "/proc/uptime", "/proc/filesystems",
    "/proc/mounts", "/proc/self/mounts", "/proc/self/limits", "/proc/self/status",
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/stdin", "/dev/stdout",
    "/dev/stderr", "/dev/fd/0", "/dev/fd/1", "/dev/fd/2",
}  # fmt: skip
# What tool chains keep in a home folder: packages that anybody can fetch.
_PUBLIC_AT_HOME = (
    ".cargo/registry", ".cargo/git", ".cargo/bin", ".rustup", "go/pkg", "go/bin", ".pyenv", ".nvm", ".rbenv", ".asdf",
    ".local/share/uv", ".local/share/mise", ".local/lib", ".local/bin", ".cache/uv", ".cache/pip", ".npm/_npx",
    ".m2/repository", ".gradle/caches", ".virtualenvs", ".conda/pkgs", "miniconda3", "anaconda3", ".sdkman",
)  # fmt: skip
_SINKS = {"/dev/null", "/dev/tty", "/dev/stdout", "/dev/stderr", "/dev/fd/1", "/dev/fd/2", "/dev/full", "/dev/zero"}


def is_public(path: str, home: str) -> bool:
    """Whether a place outside the work tree may be looked at without a question: it holds nothing of a person."""
    if is_secret(path):
        return False
    if path in _PUBLIC_FILES or any(is_within(path, folder) for folder in _PUBLIC_FOLDERS):
        return True
    return any(is_within(path, os.path.join(home, folder)) for folder in _PUBLIC_AT_HOME)


def is_sink(path: str) -> bool:
    """Whether what is written there is only shown or thrown away."""
    return path in _SINKS


def secrets_like(pattern: str) -> list[str]:
    """The usual names of files with keys that a file name pattern of the shell may stand for (`.e*`)."""
    from fnmatch import fnmatchcase

    return sorted(n for n in _SECRET_NAMES if fnmatchcase(n, pattern) and n.startswith(".") == pattern.startswith("."))


def is_wild(pattern: str) -> bool:
    """Whether a path pattern stands for more than one name."""
    return _WILD.search(pattern) is not None


def escape(path: str) -> str:
    """A path as a pattern that matches it alone, for names such as `[id].tsx`."""
    return re.sub(r"([*?\[\\])", r"\\\1", path)


def matches(pattern: str, path: str, *, root: str, home: str, fold: bool = False, anywhere: bool = False) -> bool:
    """Whether the real absolute `path` is meant by a pattern, or lies in a folder that is.

    `/x` is absolute, `~/x` in the home folder, anything with a slash relative to the work tree `root`, a name without
    a slash matches at any depth of the work tree (with `anywhere`, of the whole disk).  `*` and `?` stay within a
    name, `**` crosses folders.  `fold` ignores case and Unicode composition, for file systems that do.
    """
    place = os.path.normpath(path)
    if fold:
        pattern, place, root, home = (_folded(text) for text in (pattern, place, root, home))
    below = pattern.rstrip("/") or "/"
    if pattern == "~" or pattern.startswith("~/"):
        return _whole(home, below[2:]).match(place) is not None
    if below.startswith("/"):
        return _whole("", below[1:]).match(place) is not None
    if "/" in below.removeprefix("./") or below in {".", "**"}:
        return _whole(root, "" if below in {".", "**"} else below.removeprefix("./")).match(place) is not None
    return _whole("" if anywhere else root, f"**/{below.removeprefix('./')}").match(place) is not None


def name_pattern(glob: str) -> re.Pattern[str]:
    """What one name of a pattern (no slash in it) means, to be matched with a name behind a slash."""
    return _whole("", glob)


def is_secret(path: str) -> bool:
    """Whether a file by this name usually holds keys or passwords (`.env.example` does not)."""
    parts = os.path.normpath(path).lower().split("/")
    name = parts[-1]
    if name.endswith(_TEMPLATES) or name.endswith(".pub"):
        return False
    if not _SECRET_FOLDERS.isdisjoint(parts) or name in _SECRET_NAMES:
        return True
    return name.startswith(".env.") or name.endswith(_SECRET_ENDINGS)


def called_from(hooks: str, tree: str) -> str:
    """The folder of a work tree with what the hooks of a folder call: husky's stubs in `.husky/_` call what is above.

    It is the folder of the hooks itself where that is not such a one.
    """
    above, name = os.path.split(hooks)
    kept = name == "_" or os.path.basename(above).startswith(".")
    return above if kept and not is_within(tree, above) else hooks


def is_protected(path: str, root: str) -> bool:
    """Whether a file of the work tree decides what other programs run: written only after a person's yes."""
    parts = os.path.relpath(path, root).lower().split("/")
    return not _PROTECTED_FOLDERS.isdisjoint(parts) or parts[-1] in _PROTECTED_NAMES


def real(path: str) -> str:
    """The real path; where a link on the way cannot be read, that link (of `/proc`) or the root: never inside."""
    try:
        return os.path.realpath(path)
    except OSError as error:  # `/proc/1/root` of another user
        link = error.filename if isinstance(error.filename, str) else "/"
        return link if link.startswith("/proc/") else "/"
    except ValueError:  # half of a surrogate pair: no file can have such a name
        return "/"


def is_within(path: str, folder: str) -> bool:
    """Whether a normalised absolute path is the folder or lies below it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()


@lru_cache(maxsize=512)
def _whole(base: str, glob: str) -> re.Pattern[str]:
    start = re.escape(base.rstrip("/"))
    body = _GLOB.sub(_piece, glob)
    return re.compile(f"{start}/{body}(?:/.*)?\\Z" if body else f"{start}(?:/.*)?\\Z", re.DOTALL)


def _piece(found: re.Match[str]) -> str:
    literal, folders, below, all_, star, one, group, other = found.groups()
    if literal is not None:
        return re.escape(literal)
    if folders:
        return "(?:[^/]+/)*"
    if below:
        return "/.+"
    if all_:
        return ".*"
    if star:
        return "[^/]*"
    if one:
        return "[^/]"
    if group:
        negated = group[1] in "!^" and len(group) > 3
        inner = re.sub(r"([\\\[&~|])", r"\\\1", group[2:-1] if negated else group[1:-1])
        return f"[{'^/' if negated else ''}{inner}]"
    return re.escape(other)
