"""Queries of the active tiles over the keys of all tiles, some of them fresh."""
