"""Wan 2.1 T2V-14B at 720p, as its authors run it: 81 frames of 720 x 1280, 50 steps.

    chorus convert Wan2.1-T2V-14B weights/wan21-14b
    chorus generate "PROMPT" --weights weights/wan21-14b --config wan21_14b

Converted weights of this model size have these settings without --config too.
Source: Wan-Video/Wan2.1, generate.py (unipc, 50 steps, guidance 5, shift 5).
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("Wan 2.1 T2V-14B").request
