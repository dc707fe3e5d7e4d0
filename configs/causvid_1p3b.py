"""CausVid 1.3B: three steps, no guidance, 81 frames of 480 x 832.

    chorus convert CAUSVID weights/causvid_1p3b
    chorus generate "PROMPT" --weights weights/causvid_1p3b \\
        --config causvid_1p3b

These weights were trained to make a video in chunks of three latent frames, none of
which attends to later chunks. Here all frames are run at once and attend to each other,
as in the model that they were distilled from. So videos differ from those of CausVid's
own code, although the steps are the same.

CAUSVID is a single file of the transformer; name the other parts by `--vae`,
`--text-encoder` and `--tokenizer`. Source of the steps: tianweiy/CausVid,
configs/wan_causal_dmd.yaml (1000, 757, 522 at shift 8, fresh noise after each step).
"""

from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        steps=(1000, 757, 522),
        solver="renoise",
        shift=8.0,
        guidance_scale=1.0,
    )
