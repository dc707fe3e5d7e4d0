"""The shapes world on an accelerator: drawn, encoded and coupled with noise by jax.

What `world/` and `coupling.py` do with numpy, clip by clip, is done here for thousands
of clips at once; tests check that both give the same pictures and numbers.
"""
