"""Permissions: the rules in force for a person: listed, explained, given and taken back, and where each is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from letta_code.agent.given_rules import as_saved, no_tool, remembered_in, tool_meant
from letta_code.config.paths import Paths
from letta_code.config.settings import GivenRule, person_settings, save_setting
from letta_code.core.errors import ConfigError, UsageError
from letta_code.core.messages import Value
from letta_code.host.files import atomic_write
from letta_code.host.locks import FileLock
from letta_code.safety.remembered import Scope
from letta_code.safety.rules import PATH_TOOLS, WHOSE, Rule, Source, Verdict, parse_rule
from letta_code.safety.taint import NO_TAINTS, Taints

if TYPE_CHECKING:
    from letta_code.safety.policy import Policy

VERDICTS: tuple[Verdict, ...] = ("allow", "ask", "deny")
SCOPES: tuple[Scope, ...] = ("conversation", "project", "always")
_SOURCES: dict[Scope, Source] = {"conversation": "conversation", "project": "project", "always": "user"}
_KEPT: dict[Scope, str] = {
    "conversation": "in this conversation, while it is open",
    "project": "for this project",
    "always": "everywhere",
}
_NAMED = re.compile(r"(\w+)\((.*)\)", re.DOTALL)


class Listing(Value):
    """What holds now: `rules` in the order they are asked; `mode` and `sandbox` in words; `taints` what came in."""

    mode: str
    sandbox: str
    rules: tuple[Rule, ...]
    taints: Taints = NO_TAINTS


class Permissions:
    """Of one session.  `policy` is the one in force, `use` puts another in its place; `root` is the real work tree."""

    def __init__(
        self, policy: Callable[[], Policy], use: Callable[[Policy], None], paths: Paths, project_file: Path, root: str
    ) -> None:
        self._policy = policy
        self._use = use
        self._paths = paths
        self._project_file = project_file
        self._root = root
        self.taints: Callable[[], Taints] = lambda: NO_TAINTS  # what the conversation holds, where there is one

    def listing(self) -> Listing:
        """What holds now.  Blocks for some ms the first time, since the sandbox is tried out."""
        from letta_code.safety.policy import MODE_TEXT

        policy = self._policy()
        held = policy.containment
        sandbox = f"{held.kind}: {held.says}" if held.kind != "none" else held.says
        if policy.mode == "full":
            there = f"there is {held.kind} for the other modes" if held.kind != "none" else "there is none here either"
            sandbox = f"not used in mode full ({there})"
        mode = f"{policy.mode}: {MODE_TEXT[policy.mode]}"
        return Listing(mode=mode, sandbox=sandbox, rules=tuple(policy.rules), taints=self.taints())

    def why(self, text: str) -> tuple[str, ...]:
        """The decision on a command, or on `Read(path)`, `Edit(path)` and `Git(command)`, and all that was weighed."""
        from letta_code.safety.examples import operation_of

        text = _without_quotes(text.strip())
        named = _NAMED.fullmatch(text)
        tool, inner = (named[1], named[2]) if named and named[1] in {*PATH_TOOLS, "Git"} else ("Bash", text)
        if not inner.strip():
            raise UsageError("Which command?", hint="permissions why 'git push'")
        policy = self._policy().with_taints(self.taints())
        return policy.explain(tool, operation_of(tool, inner, policy.ground))

    def give(self, verdict: str, text: str, scope: str) -> str:
        """Put a rule in force and keep it; what was done, in a sentence.

        Raises `UsageError`, and `ConfigError` for what is no rule.
        """
        if verdict not in VERDICTS or scope not in SCOPES:
            raise UsageError(f"No rule was given: {verdict} {text} {scope}.", hint=f"Scopes are {', '.join(SCOPES)}.")
        rule = parse_rule(text, verdict, _SOURCES[scope])
        if (meant := tool_meant(rule.tool)) != rule.tool:
            raise ConfigError(f"The rule {rule.text!r} would cover nothing. {no_tool(rule.tool, meant)}")
        self.keep(rule, scope)
        return f"{rule.verdict} `{rule.text}` holds {_KEPT[scope]}; `/permissions remove {rule.text}` takes it back."

    def keep(self, rule: Rule, scope: Scope) -> None:
        """Put a rule in force and write it where its scope says; `conversation` writes nothing."""
        self._use(self._policy().with_rules(rule))
        if scope == "project":
            known = remembered_in(self._project_file).plus(rule.text, rule.verdict)
            self._write_project(known.at(self._root).encode())
        elif scope == "always":
            self._change_own(rule.verdict, lambda known: [*known, rule.text])

    def remove(self, text: str) -> str:
        """Take a rule back, wherever it is kept; raises `UsageError` when there is none, or it is not the person's."""
        known = [rule for rule in self._policy().rules if rule.text == text.strip()]
        if not known:
            hint = "/permissions and letta-code permissions list them."
            raise UsageError(f"There is no rule {text.strip()!r}.", hint=hint)
        foreign = [rule for rule in known if rule.source in {"flag", "project_file"}]
        if foreign:
            raise UsageError(f"{foreign[0].text} comes from {WHOSE[foreign[0].source]}.", hint="It is changed there.")
        for rule in known:
            self._forget(rule)
        self._use(self._policy().without_rule(known[0].text))
        what = ", ".join(f"{rule.verdict}, {WHOSE[rule.source]}" for rule in known)
        files = dict.fromkeys(filter(None, (self._file_of(rule) for rule in known)))
        out_of = f", out of {' and '.join(files)}" if files else ""
        return f"`{known[0].text}` ({what}) is taken back{out_of}."

    def _file_of(self, rule: Rule) -> str:
        """Where it is kept, "" for nowhere."""
        return {"project": str(self._project_file), "user": str(self._paths.config)}.get(rule.source, "")

    def _forget(self, rule: Rule) -> None:
        if rule.source == "project":
            self._write_project(remembered_in(self._project_file).without(rule.text).at(self._root).encode())
        elif rule.source == "user":
            self._change_own(rule.verdict, lambda known: [one for one in known if _text(one) != rule.text])

    def _write_project(self, data: bytes) -> None:
        path = self._project_file
        self._paths.folder(path.parent.parent)
        self._paths.folder(path.parent)
        atomic_write(path, data, mode=0o600)

    def _change_own(
        self, verdict: Verdict, change: Callable[[Sequence[str | GivenRule]], Sequence[str | GivenRule]]
    ) -> None:
        with FileLock(self._paths.folder(self._paths.run) / "config.lock", what="remembering a rule"):
            own = person_settings(self._paths)  # as it is now: another session may have added to it
            before: tuple[str | GivenRule, ...] = getattr(own, verdict)
            save_setting(self._paths, verdict, as_saved(change(before)) or None)


def _without_quotes(text: str) -> str:
    """What stands in the quotes where they are around all of it, as a shell would give it to the verb."""
    if text[:1] not in {"'", '"'} or text[-1:] != text[:1]:
        return text
    import shlex

    try:
        words = shlex.split(text)
    except ValueError:
        return text
    return words[0] if len(words) == 1 else text


def _text(rule: str | GivenRule) -> str:
    """The rule as it is compared: spaces as the reader of rules leaves them."""
    text = rule if isinstance(rule, str) else rule.rule
    try:
        return parse_rule(text, "ask").text
    except ConfigError:
        return text
