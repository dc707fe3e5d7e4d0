"""Wan 2.2 T2V-A14B at 720p, as its authors run it: 81 frames of 720 x 1280, 40 steps.

    chorus convert Wan2.2-T2V-A14B-Diffusers weights/wan22_t2v_a14b
    chorus generate "PROMPT" --weights weights/wan22_t2v_a14b --config wan22_t2v_a14b

Converted weights of this model size have these settings without --config too.
Source: Wan-Video/Wan2.2, wan/configs/wan_t2v_A14B.py (shift 12, guidance 4 above the
boundary and 3 below it). The scheduler file of the repository has another shift, 3.
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("Wan 2.2 T2V-A14B").request
