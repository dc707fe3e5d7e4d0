"""The small Wan model of `shapes`, distilled: four steps, no guidance.

    chorus generate "a red circle moves left on a gray background" --steps 4
    chorus generate "PROMPT" --weights DIR/model --config shapes_4step

The first command runs the shipped weights, the second weights that you have trained
yourself (see `shapes`). Guidance is folded into the distilled transformer. The sigmas
are evenly spaced, then shifted as in training; the steps are Euler steps.
"""

from chorus_jax.request import Request

WEIGHTS = "shapes"
TRANSFORMER = "transformer_4step"
FPS = 8


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        frames=17,
        height=64,
        width=64,
        steps=(1.0, 0.75, 0.5, 0.25),
        solver="euler",
        shift=3.0,
        guidance_scale=1.0,
    )
