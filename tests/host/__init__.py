"""Tests of letta_code.host."""

from __future__ import annotations
