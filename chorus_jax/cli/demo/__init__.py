"""`chorus demo`: a cold cache, a dozen prompts as users would send them, then hits."""

from chorus_jax.cli.demo.run import run
from chorus_jax.cli.demo.stream import ASKED, Asked

__all__ = ["ASKED", "Asked", "run"]
