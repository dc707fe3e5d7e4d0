"""LTX-Video 13B 0.9.8, first pass: 121 frames of 704 x 1216, 27 of 30 steps.

    chorus convert ltxv-13b-0.9.8-dev.safetensors \\
        weights/ltx_13b_098_dev --text-encoder T5 --tokenizer T5TOKENIZER
    chorus generate "PROMPT" --weights weights/ltx_13b_098_dev --config ltx_13b_098_dev

The scales of classifier-free guidance (with CFG-Zero*) and of spatio-temporal guidance
change with the noise level. The authors run this pass at two thirds of the size, and a
second pass over the enlarged latents (`Pipeline.refine`).

Source: Lightricks/LTX-Video, configs/ltxv-13b-0.9.8-dev.yaml and inference.py.
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("LTX-Video 13B 0.9.8-dev").request
