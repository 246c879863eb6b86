"""Where conversations are kept: SQLite as the truth, JSONL as its readable mirror."""
