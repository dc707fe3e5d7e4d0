"""Wan 2.1 I2V-14B-720P, as its authors run it: 81 frames of 720 x 1280, 40 steps.

    chorus convert Wan2.1-I2V-14B-720P-Diffusers weights/wan21_i2v_720p
    chorus generate "PROMPT" --image FILE --weights weights/wan21_i2v_720p \\
        --config wan21_i2v_720p

Source: Wan-Video/Wan2.1, generate.py (shift 5, guidance 5).
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("Wan 2.1 I2V-14B-720P").request
