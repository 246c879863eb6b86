"""Block: one labelled piece of memory, its place among the files, and the rules for labels and values."""

from __future__ import annotations

import hashlib
import os
import re
from typing import Literal, TypeAlias

from letta_code.core.errors import LettaError
from letta_code.core.messages import Value
from letta_code.host.memory_paths import path_problem
from letta_code.safety.terminal import strip_controls

Scope: TypeAlias = Literal["agent", "project", "conversation", "shared"]

DEFAULT_LIMIT = 5_000  # characters of a block in context
FILE_LIMIT = 20_000  # the same of a file that is read on demand
LARGEST_LIMIT = 100_000
TODO, TASK = "todo", "task"
SUFFIX = ".md"
AGENT_FOLDER, PROJECTS, CONVERSATIONS = "system", "projects", "conversations"
CONFLICTS, PENDING = "conflicts", "pending"
ATTACHED = "attached"  # the file that names the shared blocks of an agent, one a line
RESERVED = (AGENT_FOLDER, PROJECTS, CONVERSATIONS, CONFLICTS, PENDING, ATTACHED, "skills", "shared")

_SEGMENT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}(?<!\.md)")  # no folder is called as a block's file is
# Signs that show as nothing or turn the reading order around: a person could not see what the model reads. The joiners
# U+200C and U+200D stay: Persian and emoji need them.
_INVISIBLE = re.compile("[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e0fff]")
_BLANKS = re.compile("[\u00a0\u2000-\u200a\u202f\u205f\u3000]")


class BlockError(LettaError):
    """Memory could not do what was asked; the text tells the model what to do next.  Nothing was changed."""

    kind = "memory"


class Block(Value):
    """A block as it stands in one commit.

    `limit` is in characters of `value`.  `path` is the file in its repository; `in_context` blocks are rendered into
    the prompt, the others listed.  `problem` says what is wrong with the file ("" when all is well); the block can be
    read all the same.  `extra` are front-matter lines that are not ours, kept as they are.  `is_new` marks a standard
    block that has no file yet.
    """

    label: str
    value: str = ""
    description: str = ""
    limit: int = DEFAULT_LIMIT
    read_only: bool = False
    scope: Scope = "agent"
    path: str = ""
    in_context: bool = True
    problem: str = ""
    extra: tuple[str, ...] = ()
    is_new: bool = False

    @property
    def chars(self) -> int:
        """Characters of the value."""
        return len(self.value)

    @property
    def fill(self) -> str:
        """`n/limit`, as the prompt and every message show it."""
        return f"{self.chars}/{self.limit}"


class Place(Value):
    """Where the blocks of one conversation are looked for; "" means that there is no such place."""

    project_key: str = ""
    conversation_id: str = ""

    def folder(self, scope: Scope) -> str:
        """The folder of a scope in its repository; raises `BlockError` where there is none."""
        match scope:
            case "agent":
                return AGENT_FOLDER
            case "project" if self.project_key:
                return f"{PROJECTS}/{self.project_key}"
            case "conversation" if self.conversation_id:
                return f"{CONVERSATIONS}/{self.conversation_id}"
            case "shared":
                return ""
            case _:
                raise BlockError(f"There is no {scope} here to keep a block for. Use scope agent.")

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders of the agent's repository whose blocks are in context here."""
        here = [AGENT_FOLDER]
        if self.project_key:
            here.append(f"{PROJECTS}/{self.project_key}")
        if self.conversation_id:
            here.append(f"{CONVERSATIONS}/{self.conversation_id}")
        return tuple(here)

    def label_of(self, path: str, *, shared: bool = False) -> tuple[str, Scope, bool]:
        """Label, scope and whether it is in context, of a file by its path."""
        name = path.removesuffix(SUFFIX)
        if shared:
            return name, "shared", True
        scopes: tuple[Scope, ...] = ("agent", "project", "conversation")
        for scope, folder in zip(scopes, (AGENT_FOLDER, f"{PROJECTS}/{self.project_key}", self._here()), strict=True):
            if name.startswith(f"{folder}/"):
                return name[len(folder) + 1 :], scope, True
        return name, "agent", False

    def _here(self) -> str:
        return f"{CONVERSATIONS}/{self.conversation_id}"


def path_for(label: str, scope: Scope | Literal[""], place: Place) -> tuple[str, Scope, bool]:
    """The path, scope and whether it is in context, of a new block; raises `BlockError` for a bad label.

    A label with a folder (`notes/deploy`) and no scope is a file that is read on demand.
    """
    check_label(label)
    first, slash, _ = label.partition("/")
    if slash and first in RESERVED:
        raise BlockError(
            f"`{first}/` is reserved. Give a label without a folder for a block that is always in "
            "context (with a scope), or another folder, such as notes/."
        )
    if slash and not scope:
        return label + SUFFIX, "agent", False
    scope = scope or "agent"
    folder = place.folder(scope)
    return (f"{folder}/{label}" if folder else label) + SUFFIX, scope, True


def is_label(text: str) -> bool:
    """Whether a block can be called so, as far as the signs go."""
    segments = text.split("/")
    return len(text) <= 120 and len(segments) <= 5 and all(_SEGMENT.fullmatch(segment) for segment in segments)


def check_label(label: str) -> None:
    """Raises `BlockError` when a new block cannot have this label."""
    if not is_label(label):
        raise BlockError(
            f"`{one_line(label, 80)}` cannot be a label: use lower-case letters, digits, `_`, `-` and `.` (no `.md`), "
            "with `/` between folders, for example `deploy_notes` or `notes/deploy`."
        )


def check_name(label: str) -> None:
    """Raises `BlockError` when no block can be called this, also none that a person's file made."""
    if label and path_problem(label):
        raise BlockError(
            f"`{one_line(label, 80)}` cannot be a label: it leads out of memory. Nothing was done. A label is a name, "
            "such as `deploy_notes` or `notes/deploy`."
        )


def given_label(label: str) -> str:
    """A label as a model or person may write it (`/memories/human.md`, `system/human`) in its short form."""
    short = label.strip().strip("/").removesuffix(SUFFIX)
    for prefix in ("memories/", "memory/"):
        short = short.removeprefix(prefix)
    return short


def clean_value(text: str) -> str:
    r"""A text as blocks keep it: `\n` line ends, no control or invisible signs, no empty lines at either end.

    Tabs and indentation stay.
    """
    text = _BLANKS.sub(" ", _INVISIBLE.sub("", strip_controls(text)))
    lines = text.split("\n")
    while lines and not lines[0].strip():
        del lines[0]
    while lines and not lines[-1].strip():
        del lines[-1]
    return "\n".join(lines)


def one_line(text: str, limit: int = 0) -> str:
    """A text on one line, cut at `limit` characters (0: never) with an ellipsis."""
    line = " ".join(clean_value(text).split())
    return line if not limit or len(line) <= limit else line[: limit - 1] + "…"


def project_key(root: str) -> str:
    """The name of a project's folder of blocks: its folder's name and a digest of its real path."""
    real = os.path.realpath(root)
    name = re.sub(r"[^a-z0-9]+", "-", os.path.basename(real).lower()).strip("-")[:40] or "root"
    return f"{name}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}"
