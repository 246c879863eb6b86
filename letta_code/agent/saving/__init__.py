"""Saving: backups of a home, bringing one back, what survives damage, and what may be cleaned away."""
