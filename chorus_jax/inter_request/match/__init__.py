"""Matching: finds an earlier request whose latents a new request can start from."""
