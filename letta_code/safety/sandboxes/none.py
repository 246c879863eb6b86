"""No sandbox: commands run with all rights of the person, and every one is asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from letta_code.safety.containment import NO_CONTAINMENT, Confined, Containment, Grant


class Unconfined:
    """Satisfies `Sandbox`; `containment` may say why there is none."""

    def __init__(self, containment: Containment = NO_CONTAINMENT) -> None:
        self.containment = containment

    def confine(self, argv: Sequence[str], cwd: str, env: Mapping[str, str], grant: Grant) -> Confined:
        """The command as it is."""
        return Confined(argv=tuple(argv), env=env)

    def close(self) -> None:
        """Nothing was made."""
