"""Rules: `Tool` or `Tool(pattern)`, allowed, asked or denied, and what each of them covers.

Commands: `Bash(npm test)` allows exactly that command, `Bash(npm test *)` also with anything after it at a word
boundary.  An allow rule covers one simple command only, and with ` *` only words that stay in the work tree.  Deny and
ask rules cover the command with any arguments (`Bash(rm)`), wherever in a text bash would run it; where that is only
possible, the policy asks.  `Git(commit)` is a subcommand of the Git tool with any arguments that destroy nothing.

Paths: `Read(...)` is about every tool that reads, `Edit(...)` and `Write(...)` about every tool that changes files.
`src/**` is relative to the work tree, `~/notes` to the home folder, `/x` is absolute, a name without a slash (`.env`)
matches at any depth; `*` stays within a name, `**` crosses folders.

Hosts: `Net(docs.python.org)` and `Net(*.python.org)` are about whom a command that was given the web may reach.

A bare tool name (`Bash`, `Edit`, `memory`) covers everything of that tool.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from letta_code.core.errors import ConfigError
from letta_code.core.messages import Value

Verdict: TypeAlias = Literal["allow", "ask", "deny"]
# Where a rule comes from; `project` is remembered by the person for this project, `project_file` stands in the tree.
Source: TypeAlias = Literal["flag", "user", "project", "conversation", "project_file"]

# For people.
WHOSE: Mapping[Source, str] = {
    "flag": "a flag of this start",
    "user": "you, everywhere",
    "project": "you, for this project",
    "conversation": "you, for this conversation",
    "project_file": "the project's own file",
}

_RULE = re.compile(r"\s*([A-Za-z][\w.-]*)\s*(?:\((.*)\))?\s*", re.DOTALL)
PATH_TOOLS = {"Read", "Edit", "Write", "ApplyPatch", "Grep", "Glob", "List"}
_SYNTAX = "a rule is Tool or Tool(pattern), such as Bash(npm test), Bash(npm test *), Edit(src/**) or Read(.env)"


class Rule(Value):
    """One rule.  `words` and `open` are of command patterns; `open` when ` *` stood at the end."""

    verdict: Verdict
    tool: str
    pattern: str = ""
    source: Source = "user"
    words: tuple[str, ...] = ()
    open: bool = False

    @property
    def text(self) -> str:
        """The rule as it is written."""
        return f"{self.tool}({self.pattern})" if self.pattern else self.tool

    @property
    def name(self) -> str:
        """The rule for people: `deny Bash(rm) (you, everywhere)`."""
        return f"{self.verdict} {self.text} ({WHOSE[self.source]})"


class Ground(Value):
    """Where rules are judged: real paths of the work tree and home folder; `fold` where file names ignore case."""

    root: str
    home: str
    fold: bool = sys.platform == "darwin"


class Rules(Value):
    """All rules in force.  Allow rules of a project's own file are never among them."""

    allow: tuple[Rule, ...] = ()
    ask: tuple[Rule, ...] = ()
    deny: tuple[Rule, ...] = ()

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Rules:
        """Sort rules into their lists; a project's own file may only tighten, so its allow rules are left out."""
        known = tuple(rules)
        return cls(
            allow=tuple(r for r in known if r.verdict == "allow" and r.source != "project_file"),
            ask=tuple(r for r in known if r.verdict == "ask"),
            deny=tuple(r for r in known if r.verdict == "deny"),
        )

    def plus(self, *rules: Rule) -> Rules:
        """These rules and more."""
        return Rules.of(dict.fromkeys((*self.allow, *self.ask, *self.deny, *rules)))

    def __iter__(self) -> Iterator[Rule]:
        return iter((*self.deny, *self.ask, *self.allow))


def parse_rule(text: str, verdict: Verdict, source: Source = "user") -> Rule:
    """A rule from its text.  Raises `ConfigError` that names the rule and says what to write instead."""
    found = _RULE.fullmatch(text)
    if found is None:
        raise ConfigError(f"Cannot read the rule {text!r}: {_SYNTAX}.")
    tool, pattern = found[1], (found[2] or "").strip()
    if found[2] is not None and pattern in {"", "*"}:
        raise ConfigError(f"The rule {text!r} has no pattern.", hint=f"Write {tool} alone to mean all of it.")
    if not pattern:
        return Rule(verdict=verdict, tool=tool, source=source)
    if tool in PATH_TOOLS:
        _check_path(text, pattern)
        return Rule(verdict=verdict, tool=tool, pattern=pattern, source=source)
    if tool in {"Bash", "Git"}:
        words, open_ = _command_pattern(text, pattern, tool)
        return Rule(verdict=verdict, tool=tool, pattern=pattern, source=source, words=words, open=open_)
    if tool == "Net":
        from letta_code.safety.hosts import checked_host  # it knows rules, and most starts have none about hosts

        return Rule(verdict=verdict, tool=tool, pattern=pattern, source=source, words=(checked_host(text, pattern),))
    return Rule(verdict=verdict, tool=tool, pattern=pattern, source=source)


def parse_rules(texts: Iterable[str], verdict: Verdict, source: Source = "user") -> tuple[Rule, ...]:
    """Rules from their texts; raises `ConfigError` as `parse_rule`."""
    return tuple(parse_rule(text, verdict, source) for text in texts)


def _check_path(text: str, pattern: str) -> None:
    if ".." in pattern.split("/"):
        raise ConfigError(f"The rule {text!r} climbs with `..`.", hint="Write the absolute path, or one from `~/`.")
    if "\0" in pattern or "\n" in pattern:
        raise ConfigError(f"The rule {text!r} has a line break or NUL in its path.")


def _command_pattern(text: str, pattern: str, tool: str) -> tuple[tuple[str, ...], bool]:
    if pattern.endswith(":*"):
        raise ConfigError(
            f"The rule {text!r} ends in `:*`.", hint=f"Write {tool}({pattern[:-2]} *) to allow any arguments."
        )
    from letta_code.safety.shell_syntax import simple_words

    open_ = pattern.endswith(" *")
    words = simple_words(pattern[:-2].strip() if open_ else pattern)
    if words is None:
        raise ConfigError(
            f"The rule {text!r} is not one simple command.",
            hint="Write literal words without pipes, redirections, variables or wildcards; ` *` may stand at the end.",
        )
    return words, open_
