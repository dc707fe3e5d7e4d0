"""Reuse across the steps of one request: step caches, one file per cache.

`registry` lists them by name.
"""

from chorus_jax.intra_request.protocol import StepCache
from chorus_jax.intra_request.skipping import EveryStep, SkipSteps

__all__ = ["EveryStep", "SkipSteps", "StepCache"]
