"""Tests; packages, so that two folders may hold a file of the same name."""

from __future__ import annotations
