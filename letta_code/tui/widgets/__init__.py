"""Widgets: the pieces that screens and panes are made of."""
