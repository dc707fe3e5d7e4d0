"""Requests as Python files: each has `get_config()` and says what to expect of it."""
