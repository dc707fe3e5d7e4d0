"""Policies: how much of a source is reused at which score."""
