"""Processes, hardened git, atomic files, locks: the only room that starts processes."""
