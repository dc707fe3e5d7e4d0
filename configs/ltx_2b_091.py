"""LTX-Video 2B 0.9.1 as its authors run it: 121 frames of 704 x 1216, 40 steps.

    python -m convert ltx SRC weights/ltx-2b-0.9.1
    chorus generate "PROMPT" --weights weights/ltx-2b-0.9.1 --config ltx_2b_091

The schedule is shifted by the number of tokens, which `shift` multiplies.

Source: Lightricks/LTX-Video, configs/ltxv-2b-0.9.1.yaml and inference.py, but for its
spatio-temporal guidance, which is not supported yet.
"""

from chorus_jax.request import Request

NEGATIVE_PROMPT = "worst quality, inconsistent motion, blurry, jittery, distorted"


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        negative_prompt=NEGATIVE_PROMPT,
        frames=121,
        height=704,
        width=1216,
        steps=40,
        solver="euler",
        shift=1.0,
        guidance_scale=3.0,
        fps=30.0,
    )
