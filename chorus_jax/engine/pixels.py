"""The version of the code that decides pixels; part of every recipe.

A test compares `DIGEST` with that of the code. Where it differs: if any video changes
by a bit, raise `VERSION`; then take over the digest that the test gives.
"""

from typing import Final

VERSION: Final = 1
DIGEST: Final = "c04d85251ed236af"

# Paths of the code that decides pixels, relative to the repository.
FILES: Final = (
    "chorus_jax/denoise",
    "chorus_jax/engine/pipeline.py",
    "chorus_jax/engine/plans.py",
    "chorus_jax/engine/running.py",
    "chorus_jax/families",
    "chorus_jax/intra_request",
    "chorus_jax/media",
    "chorus_jax/nets",
    "chorus_jax/schedulers",
    "chorus_jax/text",
    "chorus_jax/token_budgets",
    "kernels_pallas",
)
