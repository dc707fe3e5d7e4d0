"""Training of transformer and text encoder together, by flow matching.

arXiv 2210.02747; noise levels are shifted as Wan's sampler shifts them (arXiv
2403.03206), captions are dropped for guidance (arXiv 2207.12598).
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT, WanForward
from chorus_jax.nets.t5 import T5Config, T5Encoder
from chorus_jax.nets.tokens import to_patches
from chorus_jax.schedulers.flow import TRAIN_STEPS, add_noise, shift_sigmas
from chorus_jax.training.captioned import Captioned
from chorus_jax.training.coupling import coupled
from chorus_jax.training.evaluate import CLIPS, losses_by_level
from chorus_jax.training.initial_flow import (
    TEXT,
    TRANSFORMER,
    initial_readers,
    initial_text_encoder,
    initial_transformer,
)
from chorus_jax.training.naming import misnamed
from chorus_jax.training.nearby import near_weight
from chorus_jax.training.params import Params, abstract_part, assembled
from chorus_jax.training.recipe import FlowTraining
from chorus_jax.training.structure import read
from chorus_jax.training.world.attributes import Attributes


class Prediction(NamedTuple):
    """The error of a transformer on a batch, and the features of further losses.

    Attributes:
        error: the predicted velocity minus the target velocity.
        middle: the tokens of the middle layer.
        text: the embeddings of the captions.
    """

    error: Float[Array, "b f h w c"]
    middle: Float[Array, "b n d"]
    text: Float[Array, "b m t"]


@runtime_checkable
class Batches(Protocol):
    """Batches of captioned clips, and the clips and captions that the probe needs."""

    @property
    def attributes(self) -> list[tuple[Attributes, ...]]:
        """The attributes of the clips, or of some first clips."""

    def __call__(self, step: int) -> Captioned:
        """The batch of a step."""

    def caption(self, clip: int, rng: np.random.Generator) -> str:
        """A new caption of a clip."""

    def captioned(
        self, rows: np.ndarray, captions: list[str], rng: np.random.Generator
    ) -> Captioned:
        """A batch of these clips with these captions."""


@dataclass(frozen=True)
class FlowJob:
    """The `loop.TrainingJob` of transformer and text encoder.

    Attributes:
        transformer: the transformer's config.
        text_encoder: the text encoder's config.
        training: the weights of the loss.
        batch: gives the `Captioned` batch of a step.
        like: the abstract modules of both, by part.
    """

    transformer: WanConfig
    text_encoder: T5Config
    training: FlowTraining
    batch: Any  # `Batches`; a check at run time would read its files
    like: dict[str, nnx.Module] = field(init=False)

    def __post_init__(self) -> None:
        like = {
            TRANSFORMER: abstract_part(WanDiT, self.transformer),
            TEXT: abstract_part(T5Encoder, self.text_encoder),
        }
        object.__setattr__(self, "like", like)

    def initial(self) -> Params:
        """The parameters of `initial_flow`."""
        seed = self.training.plan.seed
        return {
            **initial_transformer(self.transformer, 2 * seed),
            **initial_text_encoder(self.text_encoder, 2 * seed + 1),
            **initial_readers(self.transformer, self.text_encoder),
        }

    def loss(
        self, params: Params, batch: Captioned, key: Array
    ) -> tuple[Array, dict[str, Array]]:
        """The loss at random noise levels, and its parts.

        It is the error of the velocity at several scales, plus the errors of the
        structure and labels that linear maps predict from the middle layer and the
        text.
        """
        for_level, for_noise = jax.random.split(key)
        sigmas = levels(for_level, batch.latents.shape[0], self.training.shift)
        made = self.forward(params, batch, sigmas, for_noise)
        shown = to_patches(batch.structure, self.transformer.patch)
        figures = {
            "mse": jnp.square(made.error).mean(),
            "structure": jnp.square(read(params, made.middle) - shown).mean(),
            "naming_text": misnamed(
                params, "text", made.text, batch.mask, batch.labels
            ),
            "naming_video": misnamed(params, "video", made.middle, None, batch.labels),
        }
        training = self.training
        named = figures["naming_text"] + figures["naming_video"]
        error = made.error
        if training.near:
            weight = near_weight(batch.structure, sigmas, training.near)
            error = error * jnp.sqrt(weight)
        loss = at_scales(error, training.scales)
        loss = loss + training.structure * figures["structure"]
        return loss + training.naming * named, figures

    def errors(
        self, params: Params, batch: Captioned, sigmas: Float[Array, " b"], key: Array
    ) -> Float[Array, " b"]:
        """Mean square error of the velocity of each clip at its given noise level."""
        made = self.forward(params, batch, sigmas, key)
        return jnp.square(made.error).mean(axis=(1, 2, 3, 4))

    def forward(
        self, params: Params, batch: Captioned, sigmas: Float[Array, " b"], key: Array
    ) -> "Prediction":
        """Runs text encoder and transformer on noisy clips."""
        model, encoder = (
            assembled(part, params, self.like[part]) for part in (TRANSFORMER, TEXT)
        )
        free = jax.random.normal(key, batch.latents.shape)
        noise = coupled(free, batch.components)
        noisy = add_noise(batch.latents, noise, sigmas)
        text = jnp.where(batch.mask[..., None], encoder(batch.ids, batch.mask), 0)
        made, middle = unrolled(model, noisy, TRAIN_STEPS * sigmas, text)
        return Prediction(made - (noise - batch.latents), middle, text)

    def probe(self, params: Params) -> dict[str, float]:
        """The loss by noise level with right, with wrong and without captions."""
        rows, rng = (
            np.arange(CLIPS) % len(self.batch.attributes),
            np.random.default_rng(0),
        )
        right = [self.batch.caption(row, rng) for row in rows.tolist()]

        def error(captions: list[str], sigmas: Array) -> Array:
            rng = np.random.default_rng(1)
            batch = self.batch.captioned(rows, captions, rng)
            return self.compiled_errors(params, batch, sigmas, jax.random.key(0))

        return losses_by_level(error, right)

    @functools.cached_property
    def compiled_errors(self) -> Callable[..., Array]:
        """`errors`, compiled once."""
        return jax.jit(self.errors)


def levels(key: Array, count: int, shift: float) -> Float[Array, " count"]:
    """Noise levels, evenly spread over the batch from a random start, then shifted."""
    even = (jnp.arange(count, dtype=jnp.float32) + jax.random.uniform(key)) / count
    return shift_sigmas(even, shift)


def at_scales(
    error: Float[Array, "b f h w c"], scales: tuple[int, ...]
) -> Float[Array, ""]:
    """Mean square of the error after averaging it over squares, mean over the scales.

    Each scale is weighted so that white noise counts the same at all. Nearly all of the
    plain error is texture, which no model can predict, and its gradient noise hides the
    shapes; averaging suppresses the texture. The optimum stays the same: the mean
    velocity minimises every fixed quadratic form.
    """
    b, f, h, w, c = error.shape
    total = jnp.zeros(())
    for scale in scales:
        squares = error.reshape(b, f, h // scale, scale, w // scale, scale, c)
        total += scale**2 * jnp.square(squares.mean(axis=(3, 5))).mean()
    return total / len(scales)


def unrolled(
    model: WanDiT,
    latents: Float[Array, "b f h w i"],
    timestep: Float[Array, " b"],
    text: Float[Array, "b m t"],
) -> tuple[Float[Array, "b f h w o"], Float[Array, "b n c"]]:
    """`model(...)` with its layers unrolled, and the tokens after its middle layer.

    On a CPU, training is a fifth faster than with a scan over the layers.
    """
    conditions = model.conditions(latents, timestep, text)
    rows = jnp.arange(len(latents))
    forward = WanForward(model, conditions, latents, rows, unroll=True)
    half = model.config.depth // 2 + 1
    middle, _ = forward.blocks(forward.stem(), 0, half)
    tokens, _ = forward.blocks(middle, half)
    return forward.head(tokens), middle
