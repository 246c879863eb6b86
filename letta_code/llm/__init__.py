"""How the agent thinks: one ChatModel protocol and its clients."""
