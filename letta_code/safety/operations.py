"""Operations: what a tool wants to do, as the policy sees it."""

from __future__ import annotations

from typing import TypeAlias

from letta_code.core.messages import Value
from letta_code.safety.containment import Grant


class ReadOperation(Value, tag_field="kind", tag="read"):
    """Read a file, list a folder or search below it.  `path` is real and absolute; `inside` the work tree."""

    path: str
    inside: bool
    file_kind: str = "file"  # file, directory, missing


class WriteOperation(Value, tag_field="kind", tag="write"):
    """Create, change, rename or remove a file.  `path` is real and absolute."""

    path: str
    inside: bool
    action: str = "modify"  # create, modify, delete, rename


class ExecOperation(Value, tag_field="kind", tag="exec"):
    """Run a command: a shell text, or an argv where no shell is involved (then `command` is its display form)."""

    command: str
    cwd: str
    argv: tuple[str, ...] = ()
    background: bool = False
    keep: bool = False  # outlives the session
    stop: bool = False  # stops a process that this conversation started
    needs: str = ""  # what the sandbox does not give and the model asks for: network, or outside


class GitOperation(Value, tag_field="kind", tag="git"):
    """A git subcommand through the Git tool: `writes` is False for status, diff, log, show, blame, branch listing."""

    command: str
    writes: bool
    cwd: str = ""


class MemoryOperation(Value, tag_field="kind", tag="memory"):
    """Look at memory or write it: `label` is a block, `archival` or `conversations`; nothing outside is touched."""

    label: str
    action: str


class AskOperation(Value, tag_field="kind", tag="ask"):
    """Ask the person something, or touch nothing at all (tool_search)."""

    what: str = ""


Operation: TypeAlias = ReadOperation | WriteOperation | ExecOperation | GitOperation | MemoryOperation | AskOperation


class Decision(Value):
    """What the policy says: `verdict` is allow, deny or ask; `rule` names the rule or mode that decided."""

    verdict: str
    reason: str = ""
    rule: str = ""
    destructive: bool = False
    grant: Grant = Grant()  # what a command gets when it runs, by this decision or by a yes to it
