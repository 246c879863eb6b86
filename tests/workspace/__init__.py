"""Tests of letta_code.workspace."""

from __future__ import annotations
