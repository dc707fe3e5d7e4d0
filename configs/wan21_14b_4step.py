"""A step-distilled Wan 2.1 T2V-14B: four forwards, no guidance, 81 frames of 480 x 832.

    chorus convert DISTILLED weights/wan21-14b-4step
    chorus generate "PROMPT" --weights weights/wan21-14b-4step \\
        --config wan21_14b_4step

DISTILLED is any step-distilled checkpoint in one of Wan's two layouts. The sigmas are
evenly spaced, then shifted by 5, with Euler steps.
"""

from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        steps=(1.0, 0.75, 0.5, 0.25),
        solver="euler",
        shift=5.0,
        guidance_scale=1.0,
    )
