"""Tells whether a model fits a TPU topology, without a TPU."""
