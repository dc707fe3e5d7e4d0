"""Reuse across the steps of one request.

A step cache is a frozen, hashable object, one program each. `init(left)` gives its
state, a pytree of fixed shapes, for what a step leaves; `step(i, compute, state)` gives
what step `i` leaves, computed or not, and the next state.
"""

from chorus_jax.intra_request.skipping import Compute, EveryStep, SkipSteps, StepCache

__all__ = ["Compute", "EveryStep", "SkipSteps", "StepCache"]
