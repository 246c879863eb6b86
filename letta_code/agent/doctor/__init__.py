"""Doctor: what is wrong with a home and this machine, one file a check, and the one command that mends each."""
