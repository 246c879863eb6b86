"""A line-by-line face for dumb terminals and screen readers."""
