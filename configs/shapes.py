"""A small Wan model, trained from scratch on the shapes world: 17 frames of 64 x 64.

    chorus generate "a red circle moves left on a gray background"
    chorus generate "PROMPT" --weights DIR/model --config shapes

The first command runs the shipped weights, the second weights that you have trained
yourself: see `chorus_jax.training.recipes`.
"""

from chorus_jax.request import Request

FPS = 8  # the frame rate of the shapes world
WEIGHTS = "shapes"  # shipped weights, see chorus_jax.checkpoints.shipped
# The fingerprint of the shipped weights; a test compares them.
FINGERPRINT = "d9a6053e2218c229ce46b572d73681c2e033c290e030f2f35cb6551658ce303c"
SHIFT = 3.0
GUIDANCE = 3.0


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        frames=17,
        height=64,
        width=64,
        solver="euler",
        shift=SHIFT,
        guidance_scale=GUIDANCE,
    )
