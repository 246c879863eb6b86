"""Choose a model, and give its key: the model step of configure.

Keys found in the environment and model servers on this machine are offered; the choice is tried with one small call
and saved in ~/.letta (the key in a file that only you can read).
"""

from __future__ import annotations

from collections.abc import Sequence

from letta_code.cli import configure


def run(argv: Sequence[str]) -> int:
    """Choose and save; 0 when a model was saved, 1 when not."""
    return configure.choose_model(argv, "connect", __doc__ or "")
