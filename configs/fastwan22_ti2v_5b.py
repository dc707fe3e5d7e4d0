"""FastWan 2.2 TI2V-5B (FullAttn): three steps, no guidance, 121 frames of 704x1280.

    chorus convert FastWan2.2-TI2V-5B-FullAttn-Diffusers weights/fastwan22_ti2v_5b
    chorus generate "PROMPT" --weights weights/fastwan22_ti2v_5b \\
        --config fastwan22_ti2v_5b

Timesteps 1000, 757, 522, with fresh noise from the seed after each step. Source:
hao-ai-lab/FastVideo, fastvideo/configs/pipelines/wan.py, pipelines/stages/denoising.py.
Releases with weights of sparse attention (VSA, `to_gate_compress`) are refused at
conversion: sparse attention is not implemented here.
"""

from chorus_jax.request import Request

FPS = 24


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        frames=121,
        height=704,
        width=1280,
        steps=(1000, 757, 522),
        solver="renoise",
        shift=5.0,
        guidance_scale=1.0,
    )
