"""Policies: how many steps are reused from a source, by the score of the match."""
