"""Wan 2.1 I2V-14B-480P, as its authors run it: 81 frames of 480 x 832, 40 steps.

    chorus convert Wan2.1-I2V-14B-480P-Diffusers weights/wan21_i2v_480p
    chorus generate "PROMPT" --image FILE --weights weights/wan21_i2v_480p \\
        --config wan21_i2v_480p

Source: Wan-Video/Wan2.1, generate.py (shift 3, guidance 5).
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("Wan 2.1 I2V-14B-480P").request
