"""What the agent remembers: blocks in git, archival memory, and recall of every conversation."""
