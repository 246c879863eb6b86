"""Tests of letta_code.tools."""

from __future__ import annotations
