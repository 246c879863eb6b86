"""Given rules: the rules of settings, flags and earlier answers; one that cannot be read costs only itself."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from letta_code.agent.port import SessionOptions
from letta_code.config.settings import GivenRule, Settings
from letta_code.core.errors import ConfigError
from letta_code.core.events import Notice
from letta_code.host.files import read_bounded
from letta_code.safety.remembered import ProjectRules
from letta_code.safety.rules import PATH_TOOLS, Ground, Rule, Rules, Source, Verdict, parse_rule

_TOOL = re.compile(r"\s*([A-Za-z_]\w*)\s*(?:\(|\Z)")
_LARGEST = 4 << 20  # bytes
_EFFECTS = ("Bash", "Edit", "Write", "ApplyPatch", "Git")
_USUAL = frozenset({*PATH_TOOLS, "Bash", "Git", "Net"})  # what most rules are about


class GivenRules:
    """All rules of a session, and what is to be told of them."""

    def __init__(self, options: SessionOptions, project_file: Path, own: Settings | None = None) -> None:
        """`own` are the person's settings alone: what else asks or denies is from the project's own file."""
        self.notices: list[Notice] = []
        settings = options.settings
        self._own = own
        self._ground = Ground(root=os.path.realpath(options.cwd), home=os.path.realpath(os.path.expanduser("~")))
        self.rules = Rules.of(
            [
                *self._read(settings.deny, "deny"),
                *self._read(settings.ask, "ask"),
                *self._read(settings.allow, "allow"),
                # A flag is typed by somebody who can correct it: a wrong one stops the start.
                *(_of_a_flag(text, "deny") for text in options.deny),
                *(_of_a_flag(text, "allow") for text in options.allow),
                *self._remembered(project_file),
            ]
        )

    def _read(self, given: Iterable[str | GivenRule], verdict: Verdict) -> list[Rule]:
        found: list[Rule] = []
        for one in given:
            text = one if isinstance(one, str) else one.rule
            source = self._source(one, verdict)
            try:
                rule = parse_rule(text, verdict, source)
            except ConfigError as error:
                found += self._instead(text, verdict, error)
                continue
            if (meant := tool_meant(rule.tool)) != rule.tool:
                found += self._misnamed(rule, meant)
            else:
                found.append(rule if isinstance(one, str) else self._checked(rule, one))
        return found

    def _misnamed(self, rule: Rule, meant: str) -> list[Rule]:
        """What holds for a rule about a tool that there is not: what it may have been about is asked."""
        instead = [] if rule.verdict == "allow" or not meant else [_asking(meant, rule)]
        told = "".join(f"; {one.text} is asked about instead" for one in instead)
        self.notices.append(
            Notice(
                level="warning",
                text=f"The {rule.verdict} rule {rule.text!r} covers nothing{told}. {no_tool(rule.tool, meant)}",
                hint=f"Correct it in config.yaml ({rule.verdict}).",
                code="rules",
            )
        )
        return [rule, *instead]

    def _source(self, given: str | GivenRule, verdict: Verdict) -> Source:
        """A project's file can only deny and ask; what stands in neither file came with the environment."""
        if verdict == "allow" or self._own is None or given in getattr(self._own, verdict):
            return "user"
        said = os.environ.get(f"LETTA_{verdict.upper()}", "").splitlines()
        return "user" if isinstance(given, str) and given in map(str.strip, said) else "project_file"

    def _checked(self, rule: Rule, given: GivenRule) -> Rule:
        """The rule when its examples hold; an allow rule whose examples do not hold asks."""
        from letta_code.safety.examples import wrong_example  # few rules have examples

        wrong = wrong_example(rule, given.match, given.not_match, self._ground)
        if not wrong:
            return rule
        allows = rule.verdict == "allow"
        self.notices.append(
            Notice(
                level="warning",
                text=f"The {rule.verdict} rule {rule.text!r} does not do what its example says: {wrong}. "
                + ("What it is about is asked." if allows else "It holds all the same."),
                hint=f"Correct the rule or the example in config.yaml ({rule.verdict}).",
                code="rules",
            )
        )
        return msgspec.structs.replace(rule, verdict="ask") if allows else rule

    def _instead(self, text: str, verdict: Verdict, error: ConfigError) -> list[Rule]:
        """What holds for a rule that cannot be read: nothing is allowed by it; what it may have refused is asked."""
        named = _TOOL.match(text)
        meant = tool_meant(named[1]) if named and verdict != "allow" else ""
        tools = () if verdict == "allow" else (meant,) if meant else _EFFECTS
        instead = f"; {', '.join(tools)} is asked about instead" if tools else ""
        self.notices.append(
            Notice(
                level="warning",
                text=f"The {verdict} rule {text!r} is not used{instead}. {error}",
                hint=f"Correct it in config.yaml ({verdict}). {error.hint}".strip(),
                code="rules",
            )
        )
        return [parse_rule(tool, "ask") for tool in tools]

    def _remembered(self, path: Path) -> tuple[Rule, ...]:
        try:
            return remembered_in(path).rules()
        except (ConfigError, OSError) as error:
            self.notices.append(
                Notice(
                    level="warning",
                    text=f"The rules remembered for this project are not used: {error}",
                    hint=f"Mend or remove {path}.",
                    code="rules",
                )
            )
            return ()


def tool_meant(name: str) -> str:
    """The tool that a rule is about by this name: the very one, else the nearest, "" where none is near.

    Loads the tools (which costs a start some ms) only for a name that is not among those of most rules.
    """
    if name in _USUAL:
        return name
    from letta_code.tools.base import load_tools

    known = {tool.lower(): tool for tool in (*load_tools(), *_USUAL)}
    if name in known.values():
        return name
    from difflib import get_close_matches

    near = get_close_matches(name.lower(), list(known), n=1, cutoff=0.6)
    return known[near[0]] if near else ""


def no_tool(name: str, meant: str) -> str:
    """That there is no such tool, and which one may be meant."""
    return f"There is no tool {name}" + (f"; did you mean `{meant}`?" if meant else ".")


def _asking(tool: str, rule: Rule) -> Rule:
    """A rule that asks about what another, wrongly named one is about; about all of the tool where that is no rule."""
    try:
        return parse_rule(f"{tool}({rule.pattern})" if rule.pattern else tool, "ask", rule.source)
    except ConfigError:
        return parse_rule(tool, "ask", rule.source)


def _of_a_flag(text: str, verdict: Verdict) -> Rule:
    rule = parse_rule(text, verdict, "flag")
    if (meant := tool_meant(rule.tool)) != rule.tool:
        raise ConfigError(f"--{verdict} {text} covers nothing. {no_tool(rule.tool, meant)}")
    return rule


def remembered_in(path: Path) -> ProjectRules:
    """The rules of a project's file, none when there is no file.  Raises `ConfigError` or `OSError`."""
    if not os.path.lexists(path):
        return ProjectRules(root="")
    return ProjectRules.decode(read_bounded(path, _LARGEST), str(path))


def as_saved(rules: Iterable[str | GivenRule]) -> list[object]:
    """Rules as they stand in config.yaml: a text, or a mapping with its examples."""
    return [msgspec.to_builtins(rule) for rule in dict.fromkeys(rules)]
