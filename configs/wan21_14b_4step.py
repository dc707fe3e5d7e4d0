"""A step-distilled Wan 2.1 T2V-14B: four steps, no guidance, 81 frames of 480 x 832.

    chorus convert DISTILLED weights/wan21-14b-4step
    chorus generate "PROMPT" --weights weights/wan21-14b-4step \\
        --config wan21_14b_4step

DISTILLED is lightx2v's Wan2.1-Distill-Models, or a Wan2.1-T2V-14B with its LoRA
(`--lora FILE`). These weights were distilled for Euler steps at sigmas 1, .9375, .8333,
.625 (evenly spaced, then shifted by 5). Other distilled weights may need fresh noise
after each step (see `fastwan21_14b_480p`), or other sigmas. Source: ModelTC/LightX2V,
configs/distill/wan21.
"""

from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        steps=(1.0, 0.75, 0.5, 0.25),
        solver="euler",
        shift=5.0,
        guidance_scale=1.0,
    )
