"""Batches for flow training from a bank of clips on the device."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from chorus_jax.text.prompts import Tokenizer
from chorus_jax.training.captioned import Captioned
from chorus_jax.training.data import reworded
from chorus_jax.training.device.bank import Bank, chosen, free_noise
from chorus_jax.training.device.wordings import Wordings, askable
from chorus_jax.training.emphasis import shares
from chorus_jax.training.evaluate import CLIPS
from chorus_jax.training.naming import labels
from chorus_jax.training.recipe import FlowTraining
from chorus_jax.training.world.attributes import Attributes


@dataclass(frozen=True)
class DeviceBatches:
    """Batches of random clips of a bank with random captions, all on the device.

    The counterpart of `CaptionedBatches`, whose clips are on disk.

    Attributes:
        source: makes the bank and the captions; called when the first batch is needed.
        tokenizer: tokenises the captions.
        training: the batch size, the seed, and which clips are drawn more often.
    """

    source: Callable[[], tuple[Bank, Wordings]]
    tokenizer: Tokenizer
    training: FlowTraining

    @functools.cached_property
    def filled(self) -> tuple[Bank, Wordings]:
        """The bank and its captions."""
        return self.source()

    @functools.cached_property
    def attributes(self) -> list[tuple[Attributes, ...]]:
        """The attributes of the first clips, as used by the probe."""
        pool = askable()
        return [(pool[row],) for row in np.asarray(self.filled[0].attributes[:CLIPS])]

    @functools.cached_property
    def shares(self) -> Array:
        """The probability of each clip when one is drawn (see `emphasis.py`)."""
        bank, wordings = self.filled
        named = np.asarray(wordings.labels)[np.asarray(bank.attributes)]
        return jnp.asarray(shares(self.training.emphases, named), jnp.float32)

    def __call__(self, step: int) -> Captioned:
        """The batch of a step."""
        plan, (bank, wordings) = self.training.plan, self.filled
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(plan.seed), 2), step)
        return chosen(
            bank, self.shares, wordings, key, plan.batch, self.training.unconditional
        )

    def caption(self, clip: int, rng: np.random.Generator) -> str:
        """A new caption of one of the first clips."""
        return reworded(self.attributes[clip], rng)

    def captioned(
        self, rows: np.ndarray, captions: list[str], rng: np.random.Generator
    ) -> Captioned:
        """Some of the first clips with these captions, as numpy arrays."""
        bank, wordings = self.filled
        tokens, at = self.tokenizer(captions), jnp.asarray(rows)
        pairs = zip(rows.tolist(), captions)
        named = labels([self.attributes[row] if text else () for row, text in pairs])
        key = jax.random.key(int(rng.integers(2**31)))
        return Captioned(
            np.asarray(bank.latents[at], np.float32),
            np.asarray(free_noise(bank, at, wordings.labels[bank.attributes[at]], key)),
            np.asarray(bank.structure[at], np.float32),
            named,
            tokens.ids,
            tokens.mask,
        )
