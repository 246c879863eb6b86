"""Sandboxes: one file a way to confine commands; `choose` takes the best that works here."""
