"""What can happen and what is said: values shared by every layer (msgspec and stdlib only)."""
