"""Settings, paths and credentials."""
