"""Describes a checkpoint folder and its attention to a person, line by line."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from chorus_jax import checkpoints
from chorus_jax.devices import sharding
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.nets.attention import ImplementationChoice, choose
from chorus_jax.nets.kernel_choice import REGION, TEXT, region_choice, text_choice
from chorus_jax.nets.tokens import Size

GIB = 2**30


@runtime_checkable
class DescribedSizes(Protocol):
    """The fields of a transformer's config that decide its attention kernels, and the
    memory of its keys.

    Attributes:
        depth: the number of layers.
        heads: the number of attention heads.
        head_width: the width of a head.
        tile: the box of tokens that regions are made of.
        text_limit: tokens of a prompt, padding included.
        dtype: the dtype of weights and activations.
    """

    @property
    def depth(self) -> int: ...

    @property
    def heads(self) -> int: ...

    @property
    def head_width(self) -> int: ...

    @property
    def tile(self) -> Size: ...

    @property
    def text_limit(self) -> int: ...

    @property
    def dtype(self) -> str: ...


def attention_lines(config: DescribedSizes) -> Iterator[tuple[str, str]]:
    """Yields (name, text) lines on the attention implementations chosen on this
    platform for self-, region and cross-attention, and over a mesh."""
    here, kind = sharding.platform(), jnp.dtype(config.dtype)
    heads = (config.heads, config.head_width)
    rows = lambda *shape: jax.ShapeDtypeStruct((1, *shape, *heads), kind)
    tile, tokens = rows(1, math.prod(config.tile)), rows(math.prod(config.tile))
    for name, kernel, choice, biased in [
        ("self", "", ImplementationChoice(None, ""), False),
        ("region", REGION, region_choice(tile, tile), False),
        ("cross", TEXT, text_choice(tokens, rows(config.text_limit)), True),
    ]:
        plain = choose(here, kind, biased)
        taken = f"{kernel} {choice.name!r}" if choice.name else plain.name
        why = choice.reason or plain.reason
        yield f"{name}-attention", f"{taken} ({here}, {kind}; {why})"
    fitting = [n for n in range(2, config.heads + 1) if config.heads % n == 0]
    yield (
        "over a mesh",
        f"Ulysses where context x tensor is {', '.join(map(str, fitting)) or 'none'}, "
        "else ring attention",
    )


def others_of(folder: Path, model: type, usual: Sequence[str]) -> tuple[str, ...]:
    """Names of the folder's other transformers: the parts of class `model` that are not
    among the `usual` ones."""
    return tuple(
        name
        for name, part in checkpoints.Card.read(folder).parts.items()
        if part.model == model.__name__ and name not in usual
    )


def part_lines(
    sizes: Any, parts: Mapping[str, tuple[type, type]], others: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yields (name, text) lines: each part's size, the memory of all weights, and the
    attention implementations.

    Args:
        sizes: an object with the config of each part as an attribute.
        parts: the class of each part and the class of its config, by name.
        others: configs of parts that can be run in place of the transformer.
    """
    total = 0
    for name, (model, _) in parts.items():
        text, size = described(model, getattr(sizes, name))
        total += size
        yield name, text
    for name, config in others.items():
        text, _ = described(parts[TRANSFORMER][0], config)
        yield name, f"{text} (in place of {TRANSFORMER})"
    yield "memory, weights only", f"{total / GIB:.3f} GiB"
    yield from attention_lines(sizes.transformer)


def described(model: type, config: Any) -> tuple[str, int]:
    """A description of one part, and its size in bytes."""
    leaves = jax.tree.leaves(checkpoints.abstract(model, config))
    size = sum(x.size * x.dtype.itemsize for x in leaves)
    count = sum(x.size for x in leaves)
    words = f"{model.__name__}, {count:,} x {config.dtype}, {size / GIB:.3f} GiB"
    return words, size
