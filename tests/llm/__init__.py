"""Tests of letta_code.llm."""

from __future__ import annotations
