"""Tests of letta_code.memory."""

from __future__ import annotations
