"""Wan 2.1 T2V-1.3B at 480p, as its authors run it: 81 frames of 480 x 832, 50 steps.

    chorus convert Wan2.1-T2V-1.3B weights/wan21-1.3b
    chorus generate "PROMPT" --weights weights/wan21-1.3b --config wan21_1p3b

Converted weights of this model size have these settings without --config too.
Source: Wan-Video/Wan2.1, README (guidance 6 and shift 8 to 12 for the 1.3B model).
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("Wan 2.1 T2V-1.3B").request
