"""Wan 2.2 TI2V-5B, text-to-video, as its authors run it: 121 frames of 704 x 1280.

    python -m convert wan Wan2.2-TI2V-5B-Diffusers weights/wan22_ti2v_5b
    chorus generate "PROMPT" --weights weights/wan22_ti2v_5b --config wan22_ti2v_5b

Source: Wan-Video/Wan2.2, wan/configs/wan_ti2v_5B.py (50 steps, shift 5, guidance 5, 24
frames per second).
"""

from chorus_jax.families.wan.variants import VARIANTS
from chorus_jax.request import Request
from configs import WAN_NEGATIVE_PROMPT

FPS = 24


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        negative_prompt=WAN_NEGATIVE_PROMPT,
        **VARIANTS["wan22_ti2v_5b"].request,
    )
