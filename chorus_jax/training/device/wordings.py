"""Captions of all combinations of attributes in training, as arrays of tokens."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int

from chorus_jax.text.prompts import Tokenizer
from chorus_jax.training.data import reworded
from chorus_jax.training.naming import labels
from chorus_jax.training.world.attributes import Attributes, training_combinations


class Wordings(NamedTuple):
    """`v` captions of each combination in `askable()`, and the empty caption.

    Attributes:
        labels: numbers of the attributes' values, in the order of `VALUES`.
        ids: tokens of the captions.
        mask: False on padding.
        empty_ids: tokens of the empty caption.
        empty_mask: False on its padding.
    """

    labels: Int[Any, "a named"]
    ids: Int[Any, "a v m"]
    mask: Bool[Any, "a v m"]
    empty_ids: Int[Any, " m"]
    empty_mask: Bool[Any, " m"]


def askable() -> tuple[Attributes, ...]:
    """All combinations that training captions name: with their sizes, then without.

    So a row drawn uniformly names the size in half of all cases.
    """
    pool = training_combinations()
    return pool + tuple(attributes.unsized() for attributes in pool)


def make_wordings(tokenizer: Tokenizer, count: int, seed: int) -> Wordings:
    """`count` captions of each of `askable()`, drawn from all words and templates."""
    rng = np.random.default_rng((seed, 2))
    combinations = askable()
    captions = [
        reworded((attributes,), rng)
        for attributes in combinations
        for _ in range(count)
    ]
    tokens, empty = tokenizer(captions), tokenizer([""])
    shape = (len(combinations), count, -1)
    return Wordings(
        jnp.asarray(labels([(attributes,) for attributes in combinations])),
        jnp.asarray(tokens.ids).reshape(shape),
        jnp.asarray(tokens.mask).reshape(shape),
        jnp.asarray(empty.ids[0]),
        jnp.asarray(empty.mask[0]),
    )
