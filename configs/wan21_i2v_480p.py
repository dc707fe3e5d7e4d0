"""Wan 2.1 I2V-14B-480P, as its authors run it: 81 frames of 480 x 832, 40 steps.

    python -m convert wan Wan2.1-I2V-14B-480P-Diffusers weights/wan21_i2v_480p
    chorus generate "PROMPT" --image FILE --weights weights/wan21_i2v_480p \\
        --config wan21_i2v_480p

Source: Wan-Video/Wan2.1, generate.py (shift 3, guidance 5).
"""

from chorus_jax.families.wan.variants import VARIANTS
from chorus_jax.request import Request
from configs import WAN_NEGATIVE_PROMPT


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        negative_prompt="镜头晃动，" + WAN_NEGATIVE_PROMPT,
        **VARIANTS["wan21_i2v_480p"].request,
    )
