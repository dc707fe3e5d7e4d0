"""Tells step caches that extrapolate from those that reuse one earlier result.

That is what stands in for the steps, layers and tokens that a step cache does not
compute. A ledger counts the two apart.
"""

from chorus_jax.intra_request.protocol import StepCache


def extrapolates(cache: StepCache) -> bool:
    """Whether a step cache extrapolates from several earlier results.

    If not, it reuses one earlier result. Scaling that result, or adding it to something
    that the step computes, is reuse too. A step cache says so in its attribute
    `extrapolates`; one without this attribute counts as reusing.
    """
    return bool(getattr(cache, "extrapolates", False))
