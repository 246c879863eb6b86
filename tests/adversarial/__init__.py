"""The adversarial table of facts/reliability.md 1.5: each row played against the real program, effects asserted."""
