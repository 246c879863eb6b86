"""Agent files: an agent with all that it has, as one JSON file or a folder, out of this home and into another."""
