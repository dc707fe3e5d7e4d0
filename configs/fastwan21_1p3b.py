"""FastWan 2.1 T2V-1.3B: three steps, no guidance, 61 frames of 448 x 832.

    chorus convert FASTWAN weights/fastwan21_1p3b
    chorus generate "PROMPT" --weights weights/fastwan21_1p3b \\
        --config fastwan21_1p3b

FASTWAN is a folder in diffusers' layout.
Timesteps 1000, 757, 522, with fresh noise from the seed after each step. Source:
hao-ai-lab/FastVideo, fastvideo/configs/pipelines/wan.py, pipelines/stages/denoising.py.
Releases with weights of sparse attention (VSA, `to_gate_compress`) are refused at
conversion: sparse attention is not implemented here.
"""

from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        frames=61,
        height=448,
        width=832,
        steps=(1000, 757, 522),
        solver="renoise",
        shift=8.0,
        guidance_scale=1.0,
    )
