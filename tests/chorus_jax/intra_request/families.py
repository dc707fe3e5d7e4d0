"""A pass of each family with tiny random weights, without a checkpoint."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.positions import PixelScale, position_table
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.schedulers import Euler
from tests.chorus_jax.denoise import tiny
from tests.chorus_jax.families.toy.model import ToyModel
from tests.chorus_jax.intra_request.members import STEPS

SOLVER = Euler.spaced(STEPS, 3.0)
LAYERS = 4  # a loop of one layer is no loop, and may round in its own way
LTX = LTXConfig(
    2, LAYERS, 16, in_channels=4, out_channels=4, text_width=8, dtype="float32"
)


def toy():
    """A transformer, conditions and latents of the toy with two streams."""
    from tests.chorus_jax.families.toy.test_seams import asked

    model, request = ToyModel(), asked()
    conditions, _ = model.condition([request])
    rng = np.random.default_rng(0)
    latents = {
        name: jnp.asarray(rng.normal(size=(1, *shape)), jnp.float32)
        for name, shape in model.geometry(request).streams
    }
    return model.transformers["low"], conditions["low"], latents


def wan():
    """The same of a tiny Wan with guidance."""
    config = replace(tiny.CONFIG, depth=LAYERS)
    model = jax.jit(lambda: WanDiT(config, rngs=nnx.Rngs(0)))()
    return model, tiny.conditions(model, SOLVER), tiny.noise()


def ltx():
    """The same of a tiny LTX-Video with guidance."""
    model = jax.jit(lambda: LTXDiT(LTX, rngs=nnx.Rngs(0)))()
    rng, grid = np.random.default_rng(0), (2, 4, 4)
    text = jnp.asarray(rng.normal(size=(2, 8, LTX.text_width)), jnp.float32)
    times = jnp.asarray(SOLVER.schedule.timesteps, jnp.float32)
    conditions = StreamConditions(
        model.context(text, jnp.array([3, 5])),
        model.times(times),
        position_table(grid, LTX.width, PixelScale(8, 32, 25.0)),
        jnp.array([3.0]),
    )
    return model, conditions, jnp.asarray(rng.normal(size=(1, *grid, 4)), jnp.float32)


FAMILIES = {"toy": toy, "wan": wan, "ltx": ltx}
