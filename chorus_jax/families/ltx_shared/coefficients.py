"""Check of step caches' published coefficients against the LTX model they are for."""

from chorus_jax.intra_request import StepCache
from chorus_jax.intra_request.tea import TeaCache
from chorus_jax.intra_request.tea_coefficients import PUBLISHED

VARIANT = "ltx_091"


def check_coefficients(cache: StepCache | None, is_091: bool) -> None:
    """Checks that TeaCache's published coefficients for LTX-Video are used with the
    version that they were fitted to.

    Args:
        cache: the step cache of a request; None for none.
        is_091: whether the model is LTX-Video 0.9.1.

    Raises:
        ValueError: for these coefficients with another version.
    """
    [settings] = PUBLISHED[VARIANT].values()
    if is_091 or not isinstance(cache, TeaCache):
        return
    if cache.coefficients == settings.coefficients:
        raise ValueError(
            f"TeaCache's coefficients {VARIANT} are valid for LTX-Video 0.9.1, and "
            "this is another version: measure a step cache on this one with `chorus "
            "calibrate-cache`, or take one without coefficients, such as taylor"
        )
