"""Wan 2.2 I2V-A14B distilled to four steps, no guidance, 81 frames of 720 x 1280.

    chorus convert Wan2.2-I2V-A14B-Diffusers weights/wan22_i2v_a14b_4step \\
        --lora high=LORA --lora low=LORA
    chorus generate "PROMPT" --image FILE --weights weights/wan22_i2v_a14b_4step \\
        --config wan22_i2v_a14b_4step

LORA are the two LoRAs of Wan2.2-Lightning, or of lightx2v's Wan2.2-Distill-Loras, one
for each expert: `--lora high=FILE --lora low=FILE`. Sigmas 1, .9375, .8333, .625 with
Euler steps, two per expert; the boundary between the experts is unchanged.
I2V LoRAs with keys for an image tower, which this model lacks, need
`--lora-skip-missing`, which leaves these keys out.
Source: ModelTC/Wan2.2-Lightning, README; ModelTC/LightX2V, configs/distill/wan22.
"""

from chorus_jax.families.registry import published
from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return published("Wan 2.2 I2V-A14B").request.changed(
        steps=(1.0, 0.75, 0.5, 0.25), solver="euler", shift=5.0, guidance_scale=1.0
    )
