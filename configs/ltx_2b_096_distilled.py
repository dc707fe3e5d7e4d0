"""LTX-Video 2B 0.9.6 distilled: 121 frames of 704 x 1216, 8 stochastic steps.

    chorus convert ltxv-2b-0.9.6-distilled-04-25.safetensors \\
        weights/ltx_2b_096_distilled --text-encoder T5 --tokenizer T5TOKENIZER
    chorus generate "PROMPT" --weights weights/ltx_2b_096_distilled \\
        --config ltx_2b_096_distilled

Every step predicts the clean latents and adds fresh noise to them.

Source: Lightricks/LTX-Video, configs/ltxv-2b-0.9.6-distilled.yaml and inference.py.
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("LTX-Video 2B 0.9.6-distilled").request
