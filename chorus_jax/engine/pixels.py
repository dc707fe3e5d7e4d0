"""The digest of the code that decides pixels; part of every recipe.

A test compares it with the digest of the present code and prints the new one if they
differ. So a video made by other code is never served, however small the change.
"""

from typing import Final

DIGEST: Final = "e43d662a21fa7ef8"

# The code that decides pixels, relative to the repository: it computes them, chooses
# sources, or compares prompts with stored embeddings and digests.
FILES: Final = (
    "chorus_jax/audio_video.py",
    "chorus_jax/denoise",
    "chorus_jax/engine/given.py",
    "chorus_jax/engine/pipeline.py",
    "chorus_jax/engine/plans.py",
    "chorus_jax/engine/prompt.py",
    "chorus_jax/engine/running.py",
    "chorus_jax/engine/sources.py",
    "chorus_jax/engine/task.py",
    "chorus_jax/families",
    "chorus_jax/guidance_schedule.py",
    "chorus_jax/inter_request/match",
    "chorus_jax/inter_request/policy/policy.py",
    "chorus_jax/intra_request",
    "chorus_jax/media",
    "chorus_jax/nets",
    "chorus_jax/request.py",
    "chorus_jax/schedulers",
    "chorus_jax/spatio_temporal.py",
    "chorus_jax/text",
    "chorus_jax/token_budgets",
    "kernels_pallas",
)
