"""Lines that tell a person what a checkpoint folder holds and what runs it here."""

import math
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from chorus_jax import checkpoints
from chorus_jax.devices import sharding
from chorus_jax.nets.attention import ImplementationChoice, choose
from chorus_jax.nets.kernel_choice import REGION, TEXT, region_choice, text_choice
from chorus_jax.nets.tokens import Size

GIB = 2**30


@runtime_checkable
class DescribedSizes(Protocol):
    """A description of a transformer's attentions.

    Attributes:
        heads: their number.
        head_width: the width of a head.
        tile: the box of tokens that regions are made of.
        text_limit: tokens of a prompt, padding included.
        dtype: of weights and activations.
    """

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
    """Lines on the chosen attention: over all tokens, of a region, over the text."""
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


def described(model: type, config: Any) -> tuple[str, int]:
    """A part in words, and its size in bytes."""
    leaves = jax.tree.leaves(checkpoints.abstract(model, config))
    size = sum(x.size * x.dtype.itemsize for x in leaves)
    count = sum(x.size for x in leaves)
    words = f"{model.__name__}, {count:,} x {config.dtype}, {size / GIB:.3f} GiB"
    return words, size
