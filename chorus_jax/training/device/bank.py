"""Encoded clips in the device's memory, drawn, encoded and put into batches on it."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from tqdm import tqdm

from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.training.captioned import Captioned
from chorus_jax.training.device.noise import components
from chorus_jax.training.device.paint import filmed
from chorus_jax.training.device.scenes import COLUMNS, random_scenes
from chorus_jax.training.device.targets import decided, shown
from chorus_jax.training.device.texture import textures
from chorus_jax.training.device.wordings import Wordings
from chorus_jax.training.encode import normalised_latents
from chorus_jax.training.naming import UNKNOWN
from chorus_jax.training.world.chances import LARGE
from chorus_jax.training.world.scene import World


class Bank(NamedTuple):
    """Encoded clips with their training targets, all on the device.

    Attributes:
        latents: normalised, float16.
        structure: what the clips show, float16 (see `training/structure.py`).
        chances: the clips' random choices (see `world/chances.py`).
        attributes: the clips' rows in the `Wordings`.
    """

    latents: Float[Any, "n f h w c"]
    structure: Float[Any, "n f h w s"]
    chances: Float[Any, "n k"]
    attributes: Int[Any, " n"]


def fill(
    vae: WanVAE, wordings: Wordings, world: World, count: int, at_once: int, seed: int
) -> Bank:
    """A bank of at least `count` new clips, made in chunks of `at_once`."""
    key = jax.random.fold_in(jax.random.key(seed), 1)
    chunks = range(-(-count // at_once))
    bar = tqdm(chunks, unit="chunk", mininterval=2, desc=f"{at_once} clips a chunk")
    made = [
        encoded(vae, wordings.labels, jax.random.fold_in(key, i), at_once, world)
        for i in bar
    ]
    return Bank(*(jnp.concatenate(parts) for parts in zip(*made, strict=True)))


@partial(jax.jit, static_argnames=("count", "world"))
def encoded(
    vae: WanVAE, labels: Int[Array, "a named"], key: Array, count: int, world: World
) -> Bank:
    """A bank of `count` random clips, each of a random row of the labels."""
    for_row, for_scene, for_grain = jax.random.split(key, 3)
    rows = jax.random.randint(for_row, (count,), 0, len(labels))
    scenes = random_scenes(for_scene, labels[rows], world)
    grid = vae.config.latent_shape(world.frames, world.height, world.width)
    videos = filmed(scenes, textures(for_grain, count, world), world)
    return Bank(
        normalised_latents(vae, videos).astype(jnp.float16),
        shown(scenes, world, grid).astype(jnp.float16),
        decided(scenes, world),
        rows,
    )


@partial(jax.jit, static_argnames=("count",))
def chosen(
    bank: Bank,
    shares: Float[Array, " n"],
    wordings: Wordings,
    key: Array,
    count: int,
    unconditional: float | Float[Array, ""],
) -> Captioned:
    """A batch of `count` random clips of the bank, each with a random caption.

    Args:
        bank: the clips.
        shares: the probability of each clip (see `emphasis.py`).
        wordings: their captions.
        key: draws the clips, the captions and the noise.
        count: the size of the batch.
        unconditional: the share of captions that are empty.

    Returns:
        The batch. A clip with an empty caption has no labels.
    """
    for_row, for_words, for_drop, for_noise = jax.random.split(key, 4)
    rows = jax.random.choice(for_row, len(shares), (count,), p=shares)
    words = jax.random.randint(for_words, (count,), 0, wordings.ids.shape[1])
    dropped = jax.random.uniform(for_drop, (count,)) < unconditional
    attributes = bank.attributes[rows]
    ids, mask = wordings.ids[attributes, words], wordings.mask[attributes, words]
    named = wordings.labels[attributes]
    return Captioned(
        bank.latents[rows].astype(jnp.float32),
        free_noise(bank, rows, named, for_noise),
        bank.structure[rows].astype(jnp.float32),
        jnp.where(dropped[:, None], UNKNOWN, named),
        jnp.where(dropped[:, None], wordings.empty_ids[None], ids),
        jnp.where(dropped[:, None], wordings.empty_mask[None], mask),
    )


def free_noise(
    bank: Bank, rows: Int[Array, " b"], named: Int[Array, "b named"], key: Array
) -> Float[Array, "b h w k"]:
    """The noise components of these clips; sizes named by captions are not encoded."""
    chances = bank.chances[rows]
    sized = named[:, COLUMNS["size"]] != UNKNOWN
    chances = chances.at[:, LARGE].set(jnp.where(sized, jnp.nan, chances[:, LARGE]))
    return components(key, chances, bank.latents.shape[2:4])
