"""Place: what a session lives in on this machine: workspace, tools, policy, remembered rules, facts."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from letta_code.agent.facts import Fact, Terms, gather, project_root
from letta_code.agent.folder_trust import wrote
from letta_code.agent.given_rules import GivenRules
from letta_code.agent.permissions import Permissions
from letta_code.agent.port import SessionOptions
from letta_code.agent.repository_hooks import RepositoryHooks
from letta_code.config.paths import Paths
from letta_code.config.settings import MODES, person_settings
from letta_code.core.errors import ConfigError
from letta_code.core.events import Notice
from letta_code.core.requests import Approve
from letta_code.llm.model import ModelInfo
from letta_code.safety.containment import Containment
from letta_code.safety.remembered import project_file, remember
from letta_code.safety.sandboxes.late import LateSandbox
from letta_code.tools.base import Situation, Tool, load_tools
from letta_code.workspace.local import LocalWorkspace

if TYPE_CHECKING:
    from letta_code.memory.desk import Desk
    from letta_code.safety.policy import Policy
    from letta_code.safety.rules import Rules

log = logging.getLogger(__name__)

DEBUG_MODULES = "LETTA_DEBUG_MODULES"


class Place:
    """Implements `Surroundings` for a local folder."""

    def __init__(self, options: SessionOptions, paths: Paths, desk: Desk | None = None) -> None:
        self._sandbox = LateSandbox(options.settings.sandbox, str(paths.home), options.cwd)
        self.workspace = LocalWorkspace(options.cwd, sandbox=self._sandbox)
        self._sandbox.temp = self.workspace.temp
        self.desk = desk
        self._options = options
        self._paths = paths
        self._cwd = options.cwd
        self._tools: Mapping[str, Tool[Any]] = {}
        self._root = project_root(options.cwd)
        self._project_file = paths.home / project_file(os.path.realpath(options.cwd))
        self._hooks = RepositoryHooks(self._root, paths)
        restricted = options.settings.deny or options.settings.ask
        self._given = GivenRules(options, self._project_file, person_settings(paths) if restricted else None)
        self._policy: Policy | None = None
        self.set_mode(options.mode or options.settings.mode)
        self.permissions = Permissions(
            lambda: self.policy, self._use, paths, self._project_file, os.path.realpath(options.cwd)
        )
        self._sandbox.rules = lambda: self._rules

    @property
    def policy(self) -> Policy:
        """The policy as it is now; loaded when it is first asked for, which is after the first request."""
        if self._policy is None:
            from letta_code.safety.policy import Policy, mode_of

            self._policy = Policy(
                mode_of(self._mode),
                self._given.rules,
                root=self._options.cwd,
                letta_home=str(self._paths.home),
                containment=lambda: self.containment,
                hooks=self._hooks.now,
                temps=(self.workspace.temp,),
                memory=(str(self.desk.blocks.root), str(self._paths.shared)) if self.desk is not None else (),
            )
        return self._policy

    @property
    def _rules(self) -> Rules:
        return self._policy.rules if self._policy is not None else self._given.rules

    @property
    def notices(self) -> tuple[Notice, ...]:
        """What was wrong with the rules."""
        return tuple(self._given.notices)

    @property
    def containment(self) -> Containment:
        """What holds commands here; found out when first asked."""
        return self._sandbox.containment

    @property
    def tools(self) -> Mapping[str, Tool[Any]]:
        """Every tool there is; loaded when first asked for."""
        if not self._tools:
            self._tools = load_tools()
        return self._tools

    def situation(self, info: ModelInfo) -> Situation:
        """What decides which tools apply."""
        return Situation(
            capabilities=self.workspace.capabilities,
            model=info,
            interactive=self._options.interactive,
            memory=self.desk is not None,
        )

    def facts(self) -> Sequence[Fact]:
        """The facts of now."""
        rules = tuple(rule.text for rule in self._rules if rule.verdict == "allow")
        options = self._options
        held = self._sandbox.known
        terms = Terms(
            mode=self._mode,
            interactive=options.interactive,
            allow=rules,
            trusted=options.trusted,
            confined=None if held is None else held.confines,
        )
        return gather(self._cwd, self._root, str(self._paths.home), terms)

    def set_mode(self, mode: str) -> None:
        """Judge by another mode from now on; raises `UsageError` that lists the modes."""
        if self._policy is not None or mode not in MODES:
            from letta_code.safety.policy import mode_of

            wanted = mode_of(mode)
            self._policy = self.policy.with_mode(wanted)
        self._mode = mode

    def remember(self, answer: Approve) -> None:
        """Keep the rule that a yes came with: in the policy at once, and where its scope says."""
        kept = remember(answer.remember, answer.pattern, os.path.realpath(self._cwd)) if answer.pattern else None
        if kept is None:
            return
        self.permissions.keep(kept.rule, kept.scope)

    def _use(self, policy: Policy) -> None:
        self._policy = policy

    def agreed(self) -> None:
        """The hooks that the question named, all that waited, are known from now on, as they are."""
        try:
            self._hooks.agree(self._hooks.now().waiting)
        except ConfigError as error:  # it is asked about again next time, which loses nothing
            log.warning("%s %s", error, error.hint)

    def created(self, paths: Sequence[str]) -> None:
        """What the agent wrote itself to be followed is not asked about at the next start."""
        try:
            for path in paths:
                wrote(path, self._cwd, self._paths)
        except ConfigError as error:  # it is asked about once
            log.warning("%s %s", error, error.hint)

    def warm(self) -> None:
        """Start the launcher of commands, load the policy and look for the sandbox while the model thinks."""
        self.workspace.warm()
        self._sandbox.warm()
        _ = self.policy

    def answer_begins(self) -> None:
        """Write the names of all loaded modules where LETTA_DEBUG_MODULES says (a test of the start path)."""
        if target := os.environ.get(DEBUG_MODULES):
            Path(target).write_text("\n".join(sorted(sys.modules)), encoding="utf-8")

    async def close(self) -> Sequence[str]:
        """Stop what still runs; the background commands that were stopped."""
        await self.workspace.close()
        return self.workspace.stopped
