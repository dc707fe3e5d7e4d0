"""Attention of the active tiles' queries over all keys, some of them fresh."""
