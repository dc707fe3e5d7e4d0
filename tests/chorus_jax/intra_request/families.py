"""A pass of each family with tiny random weights, without a checkpoint."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.positions import PixelScale, places_of, position_table
from chorus_jax.families.ltx.preparing import frozen_tokens, step_times
from chorus_jax.families.ltx2.conditions import AudioVideoConditions
from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.given_tokens import TOKEN, GivenTokens
from chorus_jax.families.ltx2.guidance import JointGuidance, StreamScales
from chorus_jax.families.ltx2.positions import AudioVideoScale
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.families.ltx2.times import times_of
from chorus_jax.families.ltx2.transformer import LTX2DiT
from chorus_jax.families.ltx_shared.given_frames import FrameLayout
from chorus_jax.families.single_stream.conditions import StreamConditions
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.images import Images
from chorus_jax.families.wan.model import prepare
from chorus_jax.schedulers import Euler
from tests.chorus_jax.denoise import tiny
from tests.chorus_jax.families.toy.model import ToyModel
from tests.chorus_jax.intra_request.members import STEPS

SOLVER = Euler.spaced(STEPS, 3.0)
LAYERS = 4  # a loop of one layer is no loop, and may round in its own way
GRID = (2, 4, 4)
GIVEN = FrameLayout(((0, 1, 1.0), (8, 1, 0.6)), 8, 2)
LTX = LTXConfig(
    2, LAYERS, 16, in_channels=4, out_channels=4, text_width=8, dtype="float32"
)
LTX2 = LTX2Config(
    *(2, 8, 2, 4, LAYERS),
    **{"in_channels": 4, "out_channels": 4, "audio_channels": 8},
    **{"text_width": 8, "text_limit": 8, "dtype": "float32"},
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
    """The same of a tiny LTX-Video with guidance, a given first frame and a soft last
    one, which is tokens of its own."""
    model = jax.jit(lambda: LTXDiT(LTX, rngs=nnx.Rngs(0)))()
    rng = np.random.default_rng(0)
    text = jnp.asarray(rng.normal(size=(2, 8, LTX.text_width)), jnp.float32)
    places = places_of(GIVEN, GRID, PixelScale(8, 32, 25.0))
    conditions = StreamConditions(
        model.context(text, jnp.array([3, 5])),
        model.times(step_times(SOLVER, GIVEN)),
        position_table(GRID, LTX.width, PixelScale(8, 32, 25.0), places),
        jnp.array([3.0]),
        frozen=frozen_tokens(SOLVER, GIVEN, GRID),
    )
    shapes = {"video": (1, *GRID, 4), "given": (1, GIVEN.extra(GRID), 4)}
    return model, conditions, drawn(rng, shapes)


def ltx2():
    """The same of a tiny LTX-2 with guidance and with frames given as to `ltx`."""
    model = jax.jit(lambda: LTX2DiT(LTX2, rngs=nnx.Rngs(0)))()
    rng, extra = np.random.default_rng(0), GIVEN.extra(GRID)
    text = jnp.asarray(rng.normal(size=(2, 8, LTX2.text_width)), jnp.float32)
    clean = drawn(rng, {"clean": (1, extra + math.prod(GRID), 4)})["clean"]
    given = GivenTokens.of(GIVEN, GRID, clean, TOKEN)
    times = jnp.asarray(SOLVER.schedule.timesteps, jnp.float32)
    streams, scales = model.text(Streams(text, text)), StreamScales(jnp.array([3.0]))
    kinds = times[:, None] * (1 - given.strengths)[None]
    conditions = AudioVideoConditions(
        streams,
        model.values(streams),
        times_of(Streams(*(end.times for end in model.ends)), times, kinds),
        jnp.asarray(SOLVER.schedule.sigmas[:STEPS], jnp.float32),
        model.positions(GRID, 3, AudioVideoScale(), GIVEN),
        JointGuidance(Streams(scales, scales)),
        given,
    )
    shapes = {"video": (1, *GRID, 4), "audio": (1, 3, 8), "given": (1, extra, 4)}
    return model, conditions, drawn(rng, shapes)


def drawn(rng, shapes):
    """Random latents of these shapes."""
    return {
        name: jnp.asarray(rng.normal(size=shape), jnp.float32)
        for name, shape in shapes.items()
    }


def wan_variant(config, images=Images(), **shapes):
    """The same of a tiny Wan that reads images or a first frame."""
    config = replace(config, depth=LAYERS)
    model = jax.jit(lambda: WanDiT(config, rngs=nnx.Rngs(0)))()
    text = random(2, tiny.WORDS, config.text_width)
    given = (text, jnp.full(2, tiny.WORDS), jnp.array([5.0]), images)
    conditions = prepare(model, *given, solver=SOLVER, grid=tiny.GRID, **shapes)
    return model, conditions, tiny.noise()


def between_images():
    """Wan FLF2V: an image stream with positions, and channels beside the latents."""
    config = replace(tiny.CONFIG, in_channels=12, image_width=8, image_positions=6)
    images = Images(random(1, *tiny.SHAPE[:-1], 8), random(1, 6, 8))
    return wan_variant(config, images)


def beside_image():
    """Wan 2.2 I2V-A14B: channels beside the latents, without an image stream."""
    images = Images(random(1, *tiny.SHAPE[:-1], 8))
    return wan_variant(replace(tiny.CONFIG, in_channels=12), images)


def first_frame():
    """Wan 2.2 TI2V-5B: a given first frame with a timestep of its own."""
    return wan_variant(tiny.CONFIG, first_given=True)


def random(*shape):
    """Normal numbers."""
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


# Variants of Wan by what their passes read; text-to-video is among the families.
VARIANTS = {
    "flf2v": between_images,
    "i2v_a14b": beside_image,
    "ti2v_5b": first_frame,
}
FAMILIES = {"toy": toy, "wan": wan, "ltx": ltx, "ltx2": ltx2}
