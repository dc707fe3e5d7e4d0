"""What a step cache uses in the steps, layers and tokens that it does not compute.

It either reuses an earlier result of the run, or extrapolates from several of them. A
ledger counts the two apart.
"""

from chorus_jax.intra_request.protocol import StepCache


def extrapolates(cache: StepCache) -> bool:
    """Whether a step cache extrapolates from several earlier results.

    If not, it reuses one earlier result. Scaling that result, or adding it to something
    that the step computes, is reuse too. A step cache says so in its attribute
    `extrapolates`; one without this attribute counts as reusing.
    """
    return bool(getattr(cache, "extrapolates", False))
