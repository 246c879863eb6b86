"""What `/memory` and `letta-code memory` have in common: their words, what is done for them, and how it is told."""
