"""Panes: the transcript and what stands beside it."""
