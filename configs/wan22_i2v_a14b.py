"""Wan 2.2 I2V-A14B at 720p, as its authors run it: 81 frames of 720 x 1280, 40 steps.

    python -m convert wan Wan2.2-I2V-A14B-Diffusers weights/wan22_i2v_a14b
    chorus generate "PROMPT" --image FILE --weights weights/wan22_i2v_a14b \\
        --config wan22_i2v_a14b

Source: Wan-Video/Wan2.2, wan/configs/wan_i2v_A14B.py (shift 5, guidance 3.5). The
scheduler file of the repository says shift 3.
"""

from chorus_jax.families.wan.variants import VARIANTS
from chorus_jax.request import Request
from configs import WAN_NEGATIVE_PROMPT


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        negative_prompt=WAN_NEGATIVE_PROMPT,
        **VARIANTS["wan22_i2v_a14b"].request,
    )
