"""LTX-Video 2B 0.9.1 as its authors run it: 121 frames of 704 x 1216, 40 steps.

    chorus convert ltx-video-2b-v0.9.1.safetensors \\
        weights/ltx_2b_091 --text-encoder T5 --tokenizer T5TOKENIZER
    chorus generate "PROMPT" --weights weights/ltx_2b_091 --config ltx_2b_091

Guidance scale 3, and spatio-temporal guidance with layer 19 perturbed. The shift of the
schedule follows from the number of tokens; `shift` is a further factor on it.

Source: Lightricks/LTX-Video, configs/ltxv-2b-0.9.1.yaml and inference.py.
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("LTX-Video 2B 0.9.1").request
