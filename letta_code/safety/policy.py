"""The one policy: whether an operation may happen, must be asked, or is refused, and which rule says so.

Order: hard deny, deny rules (user, then project), what the mode `plan` forbids, ask rules, allow rules, the mode.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias, cast

from letta_code.core.errors import UsageError
from letta_code.core.requests import RuleOffer
from letta_code.safety import places
from letta_code.safety.containment import NO_CONTAINMENT, Containment, Grant
from letta_code.safety.destruction import catastrophe, is_destructive, mentions_catastrophe
from letta_code.safety.offers import offers_for
from letta_code.safety.operations import (
    AskOperation,
    Decision,
    ExecOperation,
    GitOperation,
    MemoryOperation,
    Operation,
    ReadOperation,
    WriteOperation,
)
from letta_code.safety.rules import Cover, Ground, Rule, Rules, covers, git_words, is_special, reading_of
from letta_code.safety.shell_syntax import REFUSED_LENGTH, Reading
from letta_code.safety.taint import NO_TAINTS, Taints, why_ask
from letta_code.safety.terminal import has_hidden

Mode: TypeAlias = Literal["plan", "ask", "auto", "full"]
MODES: tuple[Mode, ...] = ("plan", "ask", "auto", "full")
MODE_TEXT: Mapping[Mode, str] = {
    "plan": "only looks: no edits, no commands",
    "ask": "asks before edits and commands",
    "auto": "edits the work tree without asking, asks before commands",
    "full": "does everything without asking",
}
_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}
_PLAN = "The mode is plan: only reading is allowed. Finish the plan and tell the person; they change the mode."
# What letta-code itself keeps in its home: changed by its own commands only.
_OWN_FILES = ("letta.db", "config.yaml", "credentials.yaml")
_OWN_FOLDERS = ("conversations", "run", "projects", "checkpoints", "index", "agents", "shared")


def mode_of(name: str) -> Mode:
    """A mode by its name; raises `UsageError` that lists them."""
    if name not in MODES:
        raise UsageError(f"There is no mode {name!r}.", hint=f"The modes are {', '.join(MODES)}.")
    return cast(Mode, name)


class Policy:
    """Decides for one work tree, mode and set of rules; immutable.

    `root` is the work tree, `home` the person's home folder, `letta_home` letta-code's own; `variables` is the
    environment that commands get (for `$NAME` in removals); `containment` says what a sandbox holds them to.  Paths in
    operations are real and absolute already.
    """

    def __init__(
        self,
        mode: Mode,
        rules: Rules,
        *,
        root: str,
        home: str = "",
        letta_home: str = "",
        variables: Mapping[str, str] | None = None,
        containment: Callable[[], Containment] = lambda: NO_CONTAINMENT,
        taints: Taints = NO_TAINTS,
    ) -> None:
        self.mode: Mode = mode_of(mode)
        self.rules = rules
        home = os.path.realpath(home or os.path.expanduser("~"))
        self.ground = Ground(root=os.path.realpath(root), home=home)
        self._own = os.path.realpath(letta_home or os.path.join(home, ".letta"))
        self._containment = containment
        self._taints = taints
        self._variables: Mapping[str, str] = os.environ if variables is None else variables

    def with_mode(self, mode: Mode) -> Policy:
        """The same policy in another mode."""
        return self._copy(mode, self.rules)

    def with_taints(self, taints: Taints) -> Policy:
        """The same policy where the conversation holds text from these sources."""
        return self._copy(self.mode, self.rules, taints)

    def with_rules(self, *rules: Rule) -> Policy:
        """The same policy with more rules, as when a person's yes is remembered."""
        return self._copy(self.mode, self.rules.plus(*rules))

    def decide(self, tool: str, operation: Operation) -> Decision:
        """The verdict on one operation of a tool."""
        reading = reading_of(operation)
        destructive = _destroys(operation, reading)
        refusal = self._hard_deny(operation, reading)
        if refusal:
            return Decision(verdict="deny", reason=refusal, rule="hard deny", destructive=True)
        for verdict, reason, rule in self._steps(tool, operation, reading):
            return Decision(verdict=verdict, reason=reason, rule=rule, destructive=destructive)
        return self._by_mode(operation, destructive=destructive)

    def decide_all(self, tool: str, operations: Sequence[Operation]) -> Decision:
        """The strictest verdict on the operations of one call; a call without any operation is allowed."""
        decisions = [self.decide(tool, operation) for operation in operations]
        if not decisions:
            return Decision(verdict="allow", rule="no effect")
        worst = max(decisions, key=lambda decision: _STRICTNESS[decision.verdict])
        return Decision(
            verdict=worst.verdict,
            reason=worst.reason,
            rule=worst.rule,
            destructive=any(decision.destructive for decision in decisions),
        )

    def offers(self, tool: str, operations: Operation | Sequence[Operation]) -> tuple[RuleOffer, ...]:
        """Rules that a yes to this call can be remembered as, narrowest first; each would allow this very call.

        Nothing is offered for compound commands, interpreters with free arguments, or where an ask rule asked.
        """
        wanted = list(operations) if isinstance(operations, Sequence) else [operations]
        asked = [operation for operation in wanted if self.decide(tool, operation).verdict == "ask"]
        if len(asked) != 1:
            return ()
        found = offers_for(asked[0], self.ground)
        return tuple(offer for rule, offer in found if self._would_allow(rule, tool, asked[0]))

    def allowed_in(self, tool: str, operations: Sequence[Operation]) -> str:
        """The first mode, from auto on, that would allow this very call; "" where a rule asks in every mode."""
        modes: tuple[Mode, ...] = ("auto", "full")
        allowing = (m for m in modes if self.with_mode(m).decide_all(tool, operations).verdict == "allow")
        return next(allowing, "")

    def explain(self, tool: str, operation: Operation) -> tuple[str, ...]:
        """The decision and everything that was weighed, a line each.

        Nothing calls it yet: it is for the command `permissions why` of issue 5.
        """
        decision = self.decide(tool, operation)
        reading = reading_of(operation)
        lines = [f"{decision.verdict}: {decision.reason or decision.rule}", f"decided by: {decision.rule}"]
        if reading is not None and reading.doubt:
            lines.append(f"allow rules do not apply: {reading.doubt}")
        for rule in self.rules:
            cover = covers(rule, tool, operation, self.ground, reading)
            if cover != "no":
                lines.append(f"{rule.name}: {'covers it' if cover == 'yes' else 'may cover it'}")
        if decision.destructive:
            lines.append("it may destroy work that nothing brings back")
        return (*lines, f"mode {self.mode}: {MODE_TEXT[self.mode]}")

    def _copy(self, mode: Mode, rules: Rules, taints: Taints | None = None) -> Policy:
        ground = self.ground
        return Policy(
            mode,
            rules,
            root=ground.root,
            home=ground.home,
            letta_home=self._own,
            variables=self._variables,
            containment=self._containment,
            taints=self._taints if taints is None else taints,
        )

    def _would_allow(self, rule: Rule, tool: str, operation: Operation) -> bool:
        return self.with_rules(rule).decide(tool, operation).verdict == "allow"

    def _steps(self, tool: str, operation: Operation, reading: Reading | None) -> list[tuple[str, str, str]]:
        """Verdicts in their order, at most the first that holds."""
        denied = [(rule, covers(rule, tool, operation, self.ground, reading)) for rule in self.rules.deny]
        denied.sort(key=lambda pair: pair[0].source.startswith("project"))
        for rule, cover in denied:
            if cover == "yes":
                return [("deny", f"The rule {rule.text} denies it.", rule.name)]
        if self.mode == "plan" and not _only_looks(operation):
            return [("deny", _PLAN, "mode plan")]
        for rule, cover in denied:
            if cover == "maybe":
                return [("ask", f"It may do what the rule {rule.text} denies.", rule.name)]
        asked = [(rule, covers(rule, tool, operation, self.ground, reading)) for rule in self.rules.ask]
        for rule, cover in cast("list[tuple[Rule, Cover]]", asked):
            if cover != "no":
                return [("ask", f"The rule {rule.text} asks.", rule.name)]
        if (
            isinstance(operation, ExecOperation)
            and reading is not None
            and self._looks_catastrophic(operation, reading)
        ):
            return [("ask", "Somewhere in it is a command that would remove far too much.", "hard deny")]
        if isinstance(operation, ExecOperation) and self.mode != "full" and has_hidden(operation.command):
            return [("ask", "It has invisible or control characters, or long runs of blanks.", "hidden characters")]
        # A yes that was remembered was not given to what text from outside asks for.
        if self.mode != "full" and (why := why_ask(operation, Grant(), self._taints)):
            return [("ask", why, "text from outside")]
        for rule in self.rules.allow:
            if covers(rule, tool, operation, self.ground, reading) == "yes":
                return [("allow", "", rule.name)]
        return []

    def _looks_catastrophic(self, operation: ExecOperation, reading: Reading) -> bool:
        cwd = operation.cwd or self.ground.root
        return mentions_catastrophe(operation.command, reading, cwd, self.ground.home, self._variables)

    def _hard_deny(self, operation: Operation, reading: Reading | None) -> str:
        match operation:
            case ExecOperation(command=text) if reading is not None and not operation.stop:
                if len(text) > REFUSED_LENGTH:
                    return "The command is too long to be judged. Write it to a script file and run that."
                cwd = operation.cwd or self.ground.root
                why = catastrophe(text, reading, cwd, self.ground.home, self._variables)
                return f"Refused in every mode: {why}." if why else ""
            case WriteOperation(path=path):
                return self._never_written(path)
            case ReadOperation(path=path) if places.is_within(path, "/proc") or path.startswith("/dev/"):
                return "Devices and /proc are not read as files. A command such as `ps` or `df` shows what you need."
            case _:
                return ""

    def _never_written(self, path: str) -> str:
        if ".git" in path.lower().split("/"):
            return "Files inside .git are not changed by file tools. Use the Git tool."
        if any(places.is_within(path, folder) for folder in ("/proc", "/sys", "/dev")):
            return f"{path} is not a regular file."
        own = os.path.relpath(path, self._own)
        if own.startswith(_OWN_FILES) or own.split("/")[0] in _OWN_FOLDERS:
            return "letta-code's own settings, keys and conversations are changed by the person, not by the agent."
        return ""

    def _by_mode(self, operation: Operation, *, destructive: bool) -> Decision:
        allowed = Decision(verdict="allow", rule=f"mode {self.mode}", destructive=destructive)
        if self.mode == "full":
            return allowed
        reason = self._why_ask(operation)
        if not reason:
            return allowed
        return Decision(verdict="ask", reason=reason, rule=f"mode {self.mode}", destructive=destructive)

    def _why_ask(self, operation: Operation) -> str:
        """What the modes plan, ask and auto ask about; "" for what they allow."""
        match operation:
            case ReadOperation(path=path):
                return "It may hold keys or passwords." if places.is_secret(path) else ""
            case WriteOperation(path=path):
                if not places.is_within(path, self.ground.root):
                    return "It is outside the work tree."
                if is_special(path, self.ground):
                    return "It holds secrets, or decides what other programs run."
                return "" if self.mode == "auto" else "It changes a file."
            case ExecOperation():
                if operation.stop:
                    return ""
                doubt = reading_of(operation)
                return f"It runs a command ({doubt.doubt})." if doubt and doubt.doubt else "It runs a command."
            case GitOperation():
                # Staging changes nothing but the index, and a commit of it is asked about.
                staged = git_words(operation)[:1] == ("add",)
                return "It changes the git repository." if operation.writes and not staged else ""
            case MemoryOperation() | AskOperation():
                return ""


def _only_looks(operation: Operation) -> bool:
    match operation:
        case ReadOperation() | AskOperation() | MemoryOperation():
            return True
        case GitOperation():
            return not operation.writes
        case ExecOperation():
            return operation.stop
        case WriteOperation():
            return False


def _destroys(operation: Operation, reading: Reading | None) -> bool:
    if isinstance(operation, WriteOperation):
        return operation.action == "delete"
    if isinstance(operation, ExecOperation) and operation.stop:
        return False
    return reading is not None and any(is_destructive(command.words) for command in reading.commands)
