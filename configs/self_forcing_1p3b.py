"""Self-Forcing 1.3B: four steps, no guidance, 81 frames of 480 x 832.

    chorus convert self_forcing_dmd.pt weights/self_forcing_1p3b
    chorus generate "PROMPT" --weights weights/self_forcing_1p3b \\
        --config self_forcing_1p3b

These weights were trained to make a video in chunks of three latent frames, none of
which attends to later chunks. Here all frames are run at once and attend to each other,
as in the model that they were distilled from. So videos differ from those of
Self-Forcing's own code, although the steps are the same.

Convert with `--state generator_ema`, which selects the weights that Self-Forcing's own
code runs, and name the other parts by `--vae`, `--text-encoder` and `--tokenizer`.
Source: guandeh17/Self-Forcing, configs/self_forcing_dmd.yaml (1000, 750, 500, 250
warped by shift 5, fresh noise after each step).
"""

from chorus_jax.request import Request


def get_config() -> Request:
    """The request that `chorus generate` fills with a prompt."""
    return Request(
        prompt="",
        steps=(1.0, 0.75, 0.5, 0.25),
        solver="renoise",
        shift=5.0,
        guidance_scale=1.0,
    )
