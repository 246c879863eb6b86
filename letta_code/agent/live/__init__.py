"""Following a conversation that another process runs."""
