"""Reflecting: what a reflection reads, what it asks a model, and what it makes of the answer."""
