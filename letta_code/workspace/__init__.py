"""How tools reach files and processes."""
