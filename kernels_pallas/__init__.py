"""Pallas kernels: they know jax and nothing of ours."""
