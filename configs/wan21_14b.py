"""Wan 2.1 T2V-14B at 720p, as its authors run it: 81 frames of 720 x 1280, 50 steps.

    python -m convert wan Wan2.1-T2V-14B weights/wan21-14b
    chorus generate "PROMPT" --weights weights/wan21-14b --config wan21_14b

Source: Wan-Video/Wan2.1, generate.py (unipc, 50 steps, guidance 5, shift 5).
"""

from chorus_jax.request import Request
from configs import WAN_NEGATIVE_PROMPT


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        negative_prompt=WAN_NEGATIVE_PROMPT,
        height=720,
        width=1280,
        steps=50,
        solver="unipc",
        shift=5.0,
        guidance_scale=5.0,
    )
