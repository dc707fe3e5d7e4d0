"""Queries of the active tiles over the keys of all tiles, buffers written in place."""
