"""The loop, the session and the context of one agent."""
