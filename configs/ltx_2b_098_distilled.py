"""LTX-Video 2B 0.9.8 distilled, first pass: 121 frames of 480 x 832, 7 steps.

    python -m convert ltx SRC weights/ltx-2b-0.9.8
    chorus generate "PROMPT" --weights weights/ltx-2b-0.9.8 \\
        --config ltx_2b_098_distilled

The authors then enlarge the latents and run a second pass (`Pipeline.refine`).

Source: Lightricks/LTX-Video, configs/ltxv-2b-0.9.8-distilled.yaml (sigmas, guidance).
"""

from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        frames=121,
        height=480,
        width=832,
        steps=(1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725),
        solver="euler",
        shift=1.0,
        guidance_scale=1.0,
        fps=30.0,
    )
