"""Configs, a module each: `get_config()` returns a request, described in the module."""
