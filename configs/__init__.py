"""Requests as Python files: `get_config()` returns one, the docstring describes it."""
