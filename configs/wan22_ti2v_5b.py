"""Wan 2.2 TI2V-5B, text-to-video, as its authors run it: 121 frames of 704 x 1280.

    chorus convert Wan2.2-TI2V-5B-Diffusers weights/wan22_ti2v_5b
    chorus generate "PROMPT" --weights weights/wan22_ti2v_5b --config wan22_ti2v_5b

Converted weights of this model size have these settings without --config too.
Source: Wan-Video/Wan2.2, wan/configs/wan_ti2v_5B.py (50 steps, shift 5, guidance 5, 24
frames per second).
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request

FPS = published("Wan 2.2 TI2V-5B").fps


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("Wan 2.2 TI2V-5B").request
