"""Named qualities: step caches by how close the video should be to a full run's.

The settings were chosen on the shapes model at 50 steps (benchmarks/caches), whose
figures do not carry over to other models: for those use `chorus calibrate-cache`.
Of the step caches that need no measurements of the model, none was better there than
SeaCache by more than twice the standard errors, in any of the tables by time.
"""

from collections.abc import Mapping
from types import MappingProxyType

from chorus_jax.intra_request.protocol import StepCache
from chorus_jax.intra_request.sea import SeaCache
from chorus_jax.intra_request.skipping import EveryStep

LEAST_STEPS = 16  # in shorter schedules all steps are needed

QUALITIES: Mapping[str, StepCache] = MappingProxyType(
    {
        "lossless": EveryStep(),
        "high": SeaCache(0.1, longest=4),
        "balanced": SeaCache(0.25, longest=4),
        "fast": SeaCache(0.5, longest=4),
    }
)


def named(name: str, steps: int) -> StepCache:
    """The step cache of a quality, for a run of `steps` steps.

    Raises:
        ValueError: for an unknown name, or too few steps to reuse any.
    """
    if name not in QUALITIES:
        raise ValueError(
            f"no quality is named {name!r}: choose one of {', '.join(QUALITIES)}"
        )
    if steps < LEAST_STEPS and name != "lossless":
        raise ValueError(
            f"the quality {name!r} is for {LEAST_STEPS} steps or more, this schedule "
            f"has {steps}, all of which are needed: ask for lossless"
        )
    return QUALITIES[name]
