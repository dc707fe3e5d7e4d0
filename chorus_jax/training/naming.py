"""Naming targets: a clip's attributes, predicted from the text and a middle layer.

A word's meaning changes few pixels (a star has few more than a ring), so the velocity's
error hardly teaches it. So the clip's attributes are also predicted from the mean of
the text encoder's tokens, and from the mean of a middle layer's tokens, by linear maps
that are dropped after the training. At high noise levels the transformer knows the
attributes from the text only, so the text has to reach the video's tokens. These are
auxiliary classifiers (arXiv 1610.09585).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int32

from chorus_jax.training.params import Params
from chorus_jax.training.world.attributes import VALUES, Attributes

PART = "naming"
SIZES = tuple(len(values) for values in VALUES.values())
UNKNOWN = -1


def labels(
    attributes: Sequence[tuple[Attributes, ...]],
) -> Int32[np.ndarray, "b named"]:
    """The number of each attribute's value, per clip.

    `UNKNOWN` stands for a value of None, and for all values of a clip with no object or
    two.
    """
    columns = np.full((len(attributes), len(VALUES)), UNKNOWN, np.int32)
    for row, objects in zip(columns, attributes):
        if len(objects) != 1:
            continue
        for i, (name, values) in enumerate(VALUES.items()):
            value = getattr(objects[0], name)
            row[i] = UNKNOWN if value is None else values.index(value)
    return columns


def initial_namers(**widths: int) -> Params:
    """By name, a linear map from tokens of this width, which starts at zero."""
    params: Params = {}
    for name, width in widths.items():
        params[f"{PART}.{name}.kernel"] = jnp.zeros((width, sum(SIZES)))
        params[f"{PART}.{name}.bias"] = jnp.zeros(sum(SIZES))
    return params


def misnamed(
    params: Params,
    name: str,
    tokens: Float[Array, "b n c"],
    mask: Bool[Array, "b n"] | None,
    wanted: Int[Array, "b named"],
) -> Float[Array, ""]:
    """The mean cross-entropy of the known labels, predicted from tokens, in nats."""
    flat = jax.nn.standardize(tokens.astype(jnp.float32), axis=-1, epsilon=1e-6)
    weights = jnp.ones(flat.shape[:2]) if mask is None else mask.astype(jnp.float32)
    total = jnp.maximum(weights.sum(axis=1, keepdims=True), 1)
    mean = (flat * weights[..., None]).sum(axis=1) / total
    logits = mean @ params[f"{PART}.{name}.kernel"]
    logits = logits + params[f"{PART}.{name}.bias"][None]
    parts = jnp.split(logits, np.cumsum(SIZES)[:-1], axis=1)
    correct = jnp.stack(
        [_surprise(part, wanted[:, i]) for i, part in enumerate(parts)], axis=1
    )
    known = (wanted != UNKNOWN).astype(jnp.float32)
    return (known * correct).sum() / jnp.maximum(known.sum(), 1)


def _surprise(logits: Float[Array, "b v"], label: Int[Array, " b"]) -> Array:
    chosen = jax.nn.one_hot(label, logits.shape[1])
    return -(jax.nn.log_softmax(logits) * chosen).sum(axis=1)
