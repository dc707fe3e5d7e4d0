"""Batches for flow training: encoded clips with new captions and coupled noise."""

import functools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from chorus_jax.text.prompts import Tokenizer
from chorus_jax.training.coupling import components
from chorus_jax.training.data import Encoded, reworded
from chorus_jax.training.emphasis import shares
from chorus_jax.training.naming import labels
from chorus_jax.training.recipe import FlowTraining
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.chances import LARGE


class Captioned(NamedTuple):
    """A batch of encoded clips with their captions.

    Attributes:
        latents: normalised latents.
        components: the part of the noise that is coupled to the clips (`coupling.py`).
        structure: what the clips show, without texture (`structure.py`).
        labels: the attribute values that the captions name (`naming.py`).
        ids: the tokens of the captions.
        mask: False on padding.
    """

    latents: Float[Any, "b f h w c"]
    components: Float[Any, "b h w k"]
    structure: Float[Any, "b f h w s"]
    labels: Int[Any, "b named"]
    ids: Int[Any, "b m"]
    mask: Bool[Any, "b m"]


@dataclass(frozen=True)
class CaptionedBatches:
    """Batches of random encoded clips, each time with new captions.

    Attributes:
        encoded: the folder of clips.
        tokenizer: tokenises the captions.
        training: the batch size, the seed, the share of empty captions, and which clips
            are drawn more often.
    """

    encoded: Encoded
    tokenizer: Tokenizer
    training: FlowTraining

    @functools.cached_property
    def latents(self) -> np.ndarray:
        """Normalised latents of all clips, on disk."""
        return self.encoded.latents()

    @functools.cached_property
    def structure(self) -> np.ndarray:
        """The structure targets of the clips on disk (see `structure.py`)."""
        return self.encoded.structure()

    @functools.cached_property
    def chances(self) -> np.ndarray:
        """The chance targets of the clips (see `world/chances.py`)."""
        return self.encoded.chances()

    @functools.cached_property
    def attributes(self) -> list[tuple[Attributes, ...]]:
        """The attributes of each clip's objects."""
        return self.encoded.attributes()

    @functools.cached_property
    def shares(self) -> np.ndarray:
        """The probability of each clip when one is drawn (see `emphasis.py`)."""
        return shares(self.training.emphases, labels(self.attributes))

    def __call__(self, step: int) -> Captioned:
        """The batch of a step."""
        plan = self.training.plan
        rng = np.random.default_rng((plan.seed, step))
        rows = rng.choice(len(self.attributes), plan.batch, p=self.shares)
        dropped = rng.random(plan.batch) < self.training.unconditional
        captions = [
            "" if drop else self.caption(row, rng)
            for row, drop in zip(rows.tolist(), dropped.tolist())
        ]
        return self.captioned(rows, captions, rng)

    def caption(self, clip: int, rng: np.random.Generator) -> str:
        """A new caption of a clip."""
        return reworded(self.attributes[clip], rng)

    def captioned(
        self, rows: np.ndarray, captions: list[str], rng: np.random.Generator
    ) -> Captioned:
        """A batch of these clips with these captions."""
        tokens = self.tokenizer(captions)
        latents, shown = (
            np.asarray(array[rows], np.float32)
            for array in (self.latents, self.structure)
        )
        # A clip with an empty caption has no labels.
        pairs = zip(rows.tolist(), captions)
        attributes = [self.attributes[row] if caption else () for row, caption in pairs]
        noise = components(self.unsaid(rows), latents.shape[2:4], rng)
        named = labels(attributes)
        return Captioned(latents, noise, shown, named, tokens.ids, tokens.mask)

    def unsaid(self, rows: np.ndarray) -> np.ndarray:
        """The chance targets of these clips; the size is NaN where captions name it."""
        targets = np.array(self.chances[rows], np.float32)
        named = [any(one.size for one in self.attributes[row]) for row in rows.tolist()]
        targets[named, LARGE] = np.nan
        return targets
