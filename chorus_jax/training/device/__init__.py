"""The shapes world on an accelerator: drawn, encoded and coupled with noise by jax.

This package does for thousands of clips at once what `world/` and `coupling.py` do with
numpy for one clip; tests check that both give the same pictures and numbers.
"""
