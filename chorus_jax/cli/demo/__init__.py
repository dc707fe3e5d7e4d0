"""`chorus demo`: serves a dozen prompts from an empty cache, some of them as hits."""

from chorus_jax.cli.demo.run import run
from chorus_jax.cli.demo.stream import ASKED, Asked

__all__ = ["ASKED", "Asked", "run"]
