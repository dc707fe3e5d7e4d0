"""Pallas kernels, which depend on jax only and not on chorus_jax.

    masked_region_attention    queries of some tiles over the keys of all tiles
    amplified_cross_attention  video queries over a short text, with gains

Each folder has the same files: `api` (what is called), `reference` (plain jnp, the
definition), `tpu` (Mosaic), `gpu` (Triton), `blocks` (block sizes by device kind).
"""
