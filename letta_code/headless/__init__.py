"""Print mode: one prompt in, text or JSON out."""
