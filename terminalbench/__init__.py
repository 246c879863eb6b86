"""Runner and adapters that put letta-code on Terminal-Bench; nothing is here yet."""
