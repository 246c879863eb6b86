"""Text of files as tools need it: encodings, line endings, exact replacement, diffs, the nearest region."""

from __future__ import annotations
