"""The one policy: whether an operation may happen, must be asked, or is refused, and which rule says so.

Order: hard deny, deny rules (user, then project), what the mode `plan` forbids, ask rules, allow rules, the mode.
Where a sandbox confines, the modes ask and auto let commands run in it, and ask about what it does not give.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias, cast

from letta_code.core.errors import UsageError
from letta_code.core.messages import Value
from letta_code.core.requests import RuleOffer
from letta_code.safety import places
from letta_code.safety.containment import NO_CONTAINMENT, Containment, Grant, touches
from letta_code.safety.coverage import allowed_by_parts, covers, git_words, is_special, reading_of
from letta_code.safety.destruction import is_destructive, mentions_catastrophe
from letta_code.safety.named_paths import Where
from letta_code.safety.needs import Need, free_grant, git_loses, merged, needs_of
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
from letta_code.safety.own_hooks import NO_HOOKS, Hooks
from letta_code.safety.reasons import gives, in_words
from letta_code.safety.refusals import OwnHome, refusal
from letta_code.safety.rules import Ground, Rule, Rules
from letta_code.safety.shell_syntax import Reading
from letta_code.safety.taint import NO_TAINTS, Taints, in_spite_of, source_of, why_ask
from letta_code.safety.terminal import has_hidden

Mode: TypeAlias = Literal["plan", "ask", "auto", "full"]
MODES: tuple[Mode, ...] = ("plan", "ask", "auto", "full")
MODE_TEXT: Mapping[Mode, str] = {
    "plan": "only looks: no edits, no commands",
    "ask": "works in the sandbox, asks before what destroys or leaves it; without one asks before edits and commands",
    "auto": "works in the sandbox, asks only before what leaves it; without one asks before commands",
    "full": "does everything without asking and without a sandbox",
}
_STRICTNESS = {"allow": 0, "ask": 1, "deny": 2}
_PLAN = (
    "The mode is plan: commands and edits do not run. Look with Read, Grep, List and Git, finish the plan and tell the "
    "person; they change the mode."
)
_YES_TO_HOOKS = "Yes, and run this repository's hooks until they change"
_TEMPS = ("/tmp", "/var/tmp")


def mode_of(name: str) -> Mode:
    """A mode by its name; raises `UsageError` that lists them."""
    if name not in MODES:
        raise UsageError(f"There is no mode {name!r}.", hint=f"The modes are {', '.join(MODES)}.")
    return cast(Mode, name)


class _Case(Value):
    """One operation, read."""

    tool: str
    operation: Operation
    reading: Reading | None
    needs: tuple[Need, ...]
    free: Grant  # what it gets without anybody's yes

    @property
    def of_several(self) -> bool:
        """Whether more than one command, or a redirection, stands in the text."""
        return self.reading is not None and (len(self.reading.commands) > 1 or bool(self.reading.redirects))

    @property
    def wanted(self) -> Grant:
        """What it gets by a yes to all that is asked."""
        return merged([self.free, *(need.grant for need in self.needs)])

    @property
    def ruled(self) -> Grant:
        """What it gets by rules about its commands, which were not given for what a redirection opens beside them."""
        return merged([self.free, *(need.grant for need in self.needs if need.command >= 0)])


class Policy:
    """Decides for one work tree, mode and set of rules; immutable.

    `root` is the work tree, `home` the person's home folder, `letta_home` letta-code's own; `variables` is the
    environment that commands get (for `$NAME` in removals); `containment` says what a sandbox holds them to; `hooks`
    which of the repository's own hooks wait for a yes; `memory` the agent's own memory, `temps` more folders for
    temporary files; `taints` the text from outside that the conversation holds.
    Paths in operations are real and absolute already.
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
        hooks: Callable[[], Hooks] = lambda: NO_HOOKS,
        temps: Sequence[str] = (),
        memory: Sequence[str] = (),
        taints: Taints = NO_TAINTS,
    ) -> None:
        self.mode: Mode = mode_of(mode)
        self.rules = rules
        home = os.path.realpath(home or os.path.expanduser("~"))
        self.ground = Ground(root=os.path.realpath(root), home=home)
        self._own = OwnHome(
            folder=os.path.realpath(letta_home or os.path.join(home, ".letta")),
            memory=tuple(os.path.realpath(folder) for folder in memory),
        )
        self._containment = containment
        self._taints = taints
        self._hooks = hooks
        # A work tree among temporary files is not free to use what lies beside it.
        common = [folder for folder in _TEMPS if not places.is_within(self.ground.root, os.path.realpath(folder))]
        self._where = Where(
            root=self.ground.root,
            home=home,
            temps=tuple(os.path.realpath(f) for f in (*common, *temps) if f),
            own=self._own.folder,
        )
        self._variables: Mapping[str, str] = os.environ if variables is None else variables

    def with_mode(self, mode: Mode) -> Policy:
        """The same policy in another mode."""
        other = copy.copy(self)
        other.mode = mode_of(mode)
        return other

    def with_taints(self, taints: Taints) -> Policy:
        """The same policy where the conversation holds text from these sources."""
        if taints == self._taints:
            return self
        other = copy.copy(self)
        other._taints = taints
        return other

    def with_rules(self, *rules: Rule) -> Policy:
        """The same policy with more rules, as when a person's yes is remembered."""
        return self._judging_by(self.rules.plus(*rules))

    def without_rule(self, text: str) -> Policy:
        """The same policy without the rules of this text."""
        return self._judging_by(Rules.of(rule for rule in self.rules if rule.text != text))

    @property
    def containment(self) -> Containment:
        """What a sandbox holds commands to."""
        return self._containment()

    def decide(self, tool: str, operation: Operation) -> Decision:
        """The verdict on one operation of a tool, and what a command gets by it (or by a yes to it)."""
        case = self._case(tool, operation)
        destructive = _destroys(operation, case.reading)
        refused = refusal(operation, case.reading, self.ground, self._own, self._variables)
        if refused:
            return Decision(verdict="deny", reason=refused, rule="hard deny", destructive=True)
        step = self._by_rules(case)
        verdict, reason, rule = step or self._by_mode(case)
        if verdict == "ask":
            reason = " ".join(self._asked(reason, case))
            destructive = destructive or (case.wanted.outside and case.of_several)
        grant = Grant()
        if self.mode == "full":
            grant = Grant(outside=isinstance(operation, ExecOperation | GitOperation))
        elif verdict == "ask":
            grant = case.wanted
        elif verdict == "allow" and step:
            bare = any(one.name == rule and not one.pattern for one in self.rules.allow)
            grant = case.wanted if bare else case.ruled
        elif verdict == "allow":
            grant = case.free
        return Decision(verdict=verdict, reason=reason, rule=rule, destructive=destructive, grant=grant)

    def decide_all(self, tool: str, operations: Sequence[Operation]) -> Decision:
        """The strictest verdict on the operations of one call, and all that they are granted."""
        decisions = [self.decide(tool, operation) for operation in operations]
        if not decisions:
            return Decision(verdict="allow", rule="no effect")
        worst = max(decisions, key=lambda decision: _STRICTNESS[decision.verdict])
        return Decision(
            verdict=worst.verdict,
            reason=worst.reason,
            rule=worst.rule,
            destructive=any(decision.destructive for decision in decisions),
            grant=merged(decision.grant for decision in decisions),
        )

    def offers(self, tool: str, operations: Operation | Sequence[Operation]) -> tuple[RuleOffer, ...]:
        """Rules that a yes to this call can be remembered as, narrowest first; each would allow this very call.

        Nothing is offered for interpreters with free arguments, for what leaves the sandbox because it was asked for,
        for the repository's own hooks, or where an ask rule asked; of `cd src && npm test` only `npm test`.
        """
        wanted = list(operations) if isinstance(operations, Sequence) else [operations]
        asked = [operation for operation in wanted if self.decide(tool, operation).verdict == "ask"]
        if len(asked) != 1:
            return ()
        found = offers_for(asked[0], self.ground, self._asking_command(self._case(tool, asked[0])))
        return tuple(offer for rule, offer in found if self._would_allow(rule, tool, asked[0]))

    def yes(self, tool: str, operations: Sequence[Operation]) -> str:
        """What the plain yes to this call says where it holds for longer than this once; "" where it does not."""
        needs = (need for one in operations for need in self._case(tool, one).needs)
        return _YES_TO_HOOKS if any(need.kind == "hooks" for need in needs) else ""

    def allowed_in(self, tool: str, operations: Sequence[Operation]) -> str:
        """The first mode, from auto on, that would allow this very call; "" where a rule asks in every mode."""
        modes: tuple[Mode, ...] = ("auto", "full")
        allowing = (m for m in modes if self.with_mode(m).decide_all(tool, operations).verdict == "allow")
        return next(allowing, "")

    def explain(self, tool: str, operation: Operation) -> tuple[str, ...]:
        """The decision and everything that was weighed, a line each."""
        from letta_code.safety.explanation import explanation

        case = self._case(tool, operation)
        weighed = [(rule, covers(rule, tool, operation, self.ground, case.reading)) for rule in self.rules]
        decision = self.decide(tool, operation)
        said = f"mode {self.mode}: {MODE_TEXT[self.mode]}"
        return (*explanation(decision, case.reading, case.needs, weighed, self.containment), said)

    def _judging_by(self, rules: Rules) -> Policy:
        other = copy.copy(self)  # its paths are real already
        other.rules = rules
        return other

    def _would_allow(self, rule: Rule, tool: str, operation: Operation) -> bool:
        own = source_of([operation], self._case(tool, operation).wanted, foreign=False) if self._taints else ""
        given_now = self.with_rules(rule).with_taints(self._taints.weighing(rule.text, own))
        return given_now.decide(tool, operation).verdict == "allow"

    def _case(self, tool: str, operation: Operation) -> _Case:
        reading = reading_of(operation)
        needs: tuple[Need, ...] = ()
        free = Grant()
        if isinstance(operation, ExecOperation) and reading is not None and not operation.stop:
            needs = needs_of(operation, reading, self._where, self._hooks)
            free = free_grant(reading, self._where, self._hooks)
        elif isinstance(operation, GitOperation):
            free = Grant(git=operation.writes)
        return _Case(tool=tool, operation=operation, reading=reading, needs=needs, free=free)

    def _by_rules(self, case: _Case) -> tuple[str, str, str] | None:
        """What comes before the mode, in its order: the verdict, why, and the rule; None when nothing does."""
        operation, reading = case.operation, case.reading
        denied = [(rule, self._covers(rule, case)) for rule in self.rules.deny]
        denied.sort(key=lambda pair: pair[0].source.startswith("project"))
        for rule, cover in denied:
            if cover == "yes":
                return "deny", f"The rule {rule.text} denies it.", rule.name
        if self.mode == "plan" and not _only_looks(operation):
            return "deny", _PLAN, "mode plan"
        for rule, cover in denied:
            if cover == "maybe":
                return "ask", f"It may do what the rule {rule.text} denies.", rule.name
        for rule in self.rules.ask:
            if self._covers(rule, case) != "no":
                return "ask", f"The rule {rule.text} asks.", rule.name
        if isinstance(operation, ExecOperation) and reading is not None:
            if self._looks_catastrophic(operation, reading):
                return "ask", "Somewhere in it is a command that would remove far too much.", "hard deny"
            if self.mode != "full" and has_hidden(operation.command):
                return "ask", "It has invisible or control characters, or long runs of blanks.", "hidden characters"
        # A yes that was remembered was not given to what text from outside asks for.
        name = self._allowed(case)
        if self.mode != "full" and why_ask(operation, case.wanted, self._against(case)):
            return "ask", "", "text from outside"
        return ("allow", "", name) if name else None

    def _covers(self, rule: Rule, case: _Case) -> str:
        return covers(rule, case.tool, case.operation, self.ground, case.reading)

    def _allowed(self, case: _Case) -> str:
        """The allow rules that cover an operation, "" when they do not cover all of it."""
        operation, reading = case.operation, case.reading
        if isinstance(operation, ExecOperation) and operation.needs:
            return ""  # what the model asks for beside the words is a person's to give, each time
        hooks = any(need.kind == "hooks" for need in case.needs)  # a yes to a command was not given to these
        rules = (rule for rule in self.rules.allow if not (hooks and rule.pattern))
        name = next((rule.name for rule in rules if self._covers(rule, case) == "yes"), "")
        if not name and not hooks and isinstance(operation, ExecOperation) and reading is not None:
            confined = bool(self.rules.allow) and self.containment.confines
            name = allowed_by_parts(self.rules.allow, operation, reading, self.ground, confined=confined)
        return name

    def _against(self, case: _Case) -> Taints:
        """The text from outside that no rule about all of an operation was given in the sight of."""
        rules = [rule for rule in self.rules.allow if self._taints and self._covers(rule, case) == "yes"]
        root = self.ground.root
        left = (self._taints.against(rule, case.operation, root) for rule in rules)
        return min(left, key=_amount, default=self._taints)

    def _looks_catastrophic(self, operation: ExecOperation, reading: Reading) -> bool:
        cwd = operation.cwd or self.ground.root
        return mentions_catastrophe(operation.command, reading, cwd, self.ground.home, self._variables)

    def _by_mode(self, case: _Case) -> tuple[str, str, str]:
        name = f"mode {self.mode}"
        asks = self.mode != "full" and any(True for _ in self._why_ask(case))
        return ("ask" if asks else "allow"), "", name

    def _asked(self, first: str, case: _Case) -> Iterable[str]:
        """Why it is asked: a rule, what it needs, what a yes gives, and who may have wished for it."""
        reasons = dict.fromkeys((first, *self._why_ask(case)))
        if isinstance(case.operation, ExecOperation) and self.containment.kind != "none":
            reasons[gives(merged(need.grant for need in case.needs), several=case.of_several)] = None
        why = why_ask(case.operation, case.wanted, self._against(case))
        names = self._allowed(case) if why else ""
        reasons[in_spite_of([rule for rule in self.rules.allow if rule.name in names], why)] = None
        return (reason for reason in reasons if reason)

    def _why_ask(self, case: _Case) -> Iterable[str]:
        """What the modes plan, ask and auto ask about; nothing for what they allow."""
        match case.operation:
            case ReadOperation(path=path):
                if places.is_secret(path):
                    yield "It may hold keys or passwords."
                elif self.mode != "auto" and not self._where.inside(path) and not self._is_public(path):
                    yield "It is outside the work tree."
            case WriteOperation(path=path):
                if not places.is_within(path, self.ground.root):
                    yield "It is outside the work tree."
                elif is_special(path, self.ground):
                    yield "It holds secrets, or decides what other programs run."
                elif self.mode != "auto" and not self.containment.confines:
                    yield "It changes a file."
            case ExecOperation(stop=stop):
                if not stop:
                    yield from self._why_ask_command(case)
            case GitOperation():
                yield from self._why_ask_git(case)
            case MemoryOperation() | AskOperation():
                return

    def _asking_command(self, case: _Case) -> int:
        """The index of the only command of a text that is asked about, -1 where there are several or none."""
        found = {need.command for need in case.needs}
        return found.pop() if len(found) == 1 and self.containment.confines else -1

    def _is_public(self, path: str) -> bool:
        return places.is_public(path, self.ground.home) or self._own.is_shown(path)

    def _why_ask_command(self, case: _Case) -> Iterable[str]:
        """Inside a sandbox only what is more than it gives, and in mode ask what destroys or cannot be read."""
        needs = case.needs
        confines = self.containment.confines
        yield from in_words(need for need in needs if need.leaves or self.mode != "auto" or not confines)
        if not confines:
            yield touches(self.containment)

    def _why_ask_git(self, case: _Case) -> Iterable[str]:
        operation = cast(GitOperation, case.operation)
        if not operation.writes:
            return
        if not self.containment.confines:
            # Staging changes nothing but the index, and a commit of it is asked about.
            if git_words(operation)[:1] != ("add",):
                yield "It changes the git repository."
        elif self.mode != "auto" and case.reading is not None and git_loses(case.reading.commands[0], self._where):
            yield "It may destroy work that nothing brings back."


def _amount(taints: Taints) -> int:
    return len(taints.sources)


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
