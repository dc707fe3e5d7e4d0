"""Matching: which earlier request is a source for a prompt."""
