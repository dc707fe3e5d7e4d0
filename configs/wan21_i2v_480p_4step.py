"""A Wan 2.1 I2V-14B-480P distilled by lightx2v: four steps, no guidance.

    chorus convert DISTILLED weights/wan21_i2v_480p_4step
    chorus generate "PROMPT" --image FILE --weights weights/wan21_i2v_480p_4step \\
        --config wan21_i2v_480p_4step

DISTILLED is lightx2v's Wan2.1-Distill-Models, or a Wan2.1-I2V-14B-480P with its LoRA
(`--lora FILE`). Sigmas 1, .9375, .8333, .625 with Euler steps. Source:
ModelTC/LightX2V, configs/distill/wan21.
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("Wan 2.1 I2V-14B-480P").request.changed(
        steps=(1.0, 0.75, 0.5, 0.25), solver="euler", shift=5.0, guidance_scale=1.0
    )
