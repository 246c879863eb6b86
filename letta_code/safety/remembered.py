"""Remembered rules: where a person's yes is kept, as data; the caller reads and writes the files."""

from __future__ import annotations

import hashlib
import re
from typing import Literal, TypeAlias, cast

import msgspec

from letta_code.core.errors import ConfigError, UsageError
from letta_code.core.messages import Value
from letta_code.safety.rules import Rule, Source, Verdict, parse_rule, parse_rules

Scope: TypeAlias = Literal["once", "conversation", "project", "always"]
SCOPES: tuple[Scope, ...] = ("once", "conversation", "project", "always")
_SOURCES: dict[Scope, Source] = {"conversation": "conversation", "project": "project", "always": "user"}


class Remembered(Value):
    """What to keep after a yes: `rule` for the policy at once, and where it goes.

    `scope` conversation: nothing more is written, since the rule is found again in the event `RequestAnswered` that
    holds the yes; project: the list `allow` of `file` (see `ProjectRules`); always: the setting `allow` of the person's
    config.yaml.  `file` is relative to letta-code's home, "" where nothing is written there.
    """

    scope: Scope
    rule: Rule
    file: str = ""


class ProjectRules(Value):
    """`projects/<key>/rules.json` in letta-code's home: rules that the person gave for one project, never the project.

    `root` is the real path of the work tree, so that people can read whose rules these are.
    """

    root: str
    allow: tuple[str, ...] = ()
    ask: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()

    def rules(self) -> tuple[Rule, ...]:
        """The rules; raises `ConfigError` naming a rule that cannot be read."""
        return (
            *parse_rules(self.allow, "allow", "project"),
            *parse_rules(self.ask, "ask", "project"),
            *parse_rules(self.deny, "deny", "project"),
        )

    def plus(self, text: str, verdict: Verdict = "allow") -> ProjectRules:
        """With one more rule; the same when it is there already."""
        known: tuple[str, ...] = getattr(self, verdict)
        return self if text in known else msgspec.structs.replace(self, **{verdict: (*known, text)})

    def without(self, text: str) -> ProjectRules:
        """Without the rules of this text."""
        kept = {name: tuple(t for t in getattr(self, name) if t != text) for name in ("allow", "ask", "deny")}
        return msgspec.structs.replace(self, **kept)

    def at(self, root: str) -> ProjectRules:
        """The same of this work tree."""
        return msgspec.structs.replace(self, root=root)

    def encode(self) -> bytes:
        """The file's bytes."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"

    @classmethod
    def decode(cls, data: bytes, file: str) -> ProjectRules:
        """From the file's bytes; raises `ConfigError` naming the file."""
        try:
            return msgspec.json.decode(data, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ConfigError(
                f"Cannot read the remembered rules in {file}: {error}.", hint="Mend or remove it."
            ) from error


def remember(scope: str, pattern: str, root: str) -> Remembered | None:
    """What to keep for a yes with `scope` and the offered `pattern`; None for `once`.

    Raises `UsageError` for an unknown scope, `ConfigError` for a pattern that is no rule.
    """
    if scope not in SCOPES:
        raise UsageError(f"There is no scope {scope!r}.", hint=f"A yes holds {', '.join(SCOPES)}.")
    if scope == "once":
        return None
    known = cast(Scope, scope)
    files = {"project": project_file(root), "always": "config.yaml"}
    return Remembered(scope=known, rule=parse_rule(pattern, "allow", _SOURCES[known]), file=files.get(known, ""))


def project_file(root: str) -> str:
    """Where a project's remembered rules are, relative to letta-code's home; `root` is the work tree's real path."""
    return f"projects/{project_key(root)}/rules.json"


def project_key(root: str) -> str:
    """A folder name for a work tree: its last names, readable, and a hash of the whole path."""
    names = re.sub(r"[^A-Za-z0-9]+", "-", "-".join(root.strip("/").split("/")[-2:])).strip("-")[:40]
    return f"{names or 'root'}-{hashlib.sha256(root.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"
