"""Fakes that several rooms' tests use."""

from __future__ import annotations
