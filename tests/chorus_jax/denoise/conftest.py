"""Tiny transformers with random weights."""

from dataclasses import replace

import jax
import pytest
from flax import nnx

from chorus_jax.families.wan.dit import WanDiT
from tests.chorus_jax.denoise.tiny import CONFIG


@pytest.fixture(scope="session")
def model():
    return jax.jit(lambda: WanDiT(CONFIG, rngs=nnx.Rngs(0)))()


@pytest.fixture(scope="session")
def wide():
    """A model whose heads no kernel refuses."""
    config = replace(CONFIG, head_width=16)
    return jax.jit(lambda: WanDiT(config, rngs=nnx.Rngs(0)))()
