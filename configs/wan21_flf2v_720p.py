"""Wan 2.1 FLF2V-14B-720P, as its authors run it: 81 frames of 720 x 1280, 50 steps.

    chorus convert Wan2.1-FLF2V-14B-720P-diffusers weights/wan21_flf2v_720p
    chorus generate "PROMPT" --image FIRST --last-image LAST \\
        --weights weights/wan21_flf2v_720p --config wan21_flf2v_720p

Converted weights of this model size have these settings without --config too.
Source: Wan-Video/Wan2.1, generate.py (shift 16, guidance 5; the default of
wan/first_last_frame2video.py, which generate.py overrides, is 5.5).
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("Wan 2.1 FLF2V-14B-720P").request
