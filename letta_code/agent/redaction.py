"""Redaction: the secrets of a home, made once a process and given to its store, its log and what leaves it."""

from __future__ import annotations

from letta_code.config.credentials import Credentials
from letta_code.config.paths import Paths
from letta_code.safety.vault import Secrets, secrets_of_environment


def secrets_of(paths: Paths) -> Secrets:
    """What is known to be secret here: the environment's keys and those of the file of credentials."""
    found = Secrets(secrets_of_environment())
    if paths.credentials.exists():
        found.know(*Credentials(paths).kept())
    return found
