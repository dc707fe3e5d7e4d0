"""The real shapes of the kernels: Wan 1.3B and 14B at 480p and 720p, 81 frames.

The kernels are called through the same functions as in the transformer, with queries of
the active tokens only. `region` attends to held keys and values of all tiles, with
fresh ones for the active tiles. `own` attends to the active tokens themselves, with a
bias, as with a sampled context. `cross` attends to the text. Each is compared with the
function's plain path on the same arrays, which have heads side by side in one axis, as
the model's matrix products return them. With a separate axis of heads, a TPU uses
another layout, in which our kernels mostly wait for copies; the plain path may be
faster in that layout, so it is compiled for both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.nets.chunked_attention import chunked
from chorus_jax.nets.kernel_attention import (
    kernel_part,
    over_text,
    plain_text,
    plain_tiles,
    written,
)
from chorus_jax.nets.tokens import Size, Tiling
from kernels_pallas import dispatch
from kernels_pallas.masked_region_attention.reference import Fresh

MODELS = {"1.3b": WanConfig.t2v_1_3b(), "14b": WanConfig.t2v_14b()}
GRIDS: dict[str, Size] = {"480p": (21, 30, 52), "720p": (21, 45, 80)}
SHARES = (0.25, 1.0)
# A prompt with its padding collapsed, and all the rows that Wan attends to.
TEXTS = (128, 512)


@dataclass(frozen=True)
class Case:
    """A call of a kernel at the shape of a published model.

    Attributes:
        kernel: the kind of call: "region", "own", "cross", or "dit" for a whole layer.
        model: a name in `MODELS`.
        size: a name in `GRIDS`.
        share: the active share of the tiles, 0 to 1.
        text: keys of the text; 0 for self-attention.
    """

    kernel: str
    model: str
    size: str
    share: float
    text: int = 0

    @property
    def name(self) -> str:
        """The row's name, without the device."""
        words = [self.kernel, self.model, self.size, f"{self.share:g}"]
        return " ".join(words + ([f"{self.text} words"] if self.text else []))

    @property
    def tiling(self) -> Tiling:
        """The division of the video's tokens into tiles."""
        return Tiling.fitting(GRIDS[self.size], MODELS[self.model].tile)

    @property
    def active(self) -> int:
        """The number of active tiles."""
        return max(1, round(self.share * self.tiling.count))

    @property
    def tokens(self) -> int:
        """The number of active tokens."""
        return self.active * self.tiling.size

    @property
    def keys(self) -> int:
        """The number of keys that each query attends to."""
        if self.kernel == "region":
            return self.tiling.count * self.tiling.size
        return self.text or self.tokens

    @property
    def operations(self) -> int:
        """Floating-point operations of attention's two matrix products."""
        return 4 * self.tokens * self.keys * MODELS[self.model].width

    @property
    def bytes(self) -> int:
        """The bytes that must at least be read and written, in bfloat16."""
        return 2 * (2 * self.tokens + 2 * self.keys) * MODELS[self.model].width


CASES = tuple(
    Case(kernel, model, size, share, text)
    for model in MODELS
    for size in GRIDS
    for share in SHARES
    for kernel, text in [
        ("region", 0),
        ("own", 0),
        *(("cross", text) for text in TEXTS),
    ]
)


def shapes(case: Case) -> tuple[Any, ...]:
    """Abstract operands of the functions of a case."""
    c, tiling, k = MODELS[case.model].width, case.tiling, case.active
    s = tiling.size
    low = lambda *shape: jax.ShapeDtypeStruct((1, *shape), jnp.bfloat16)
    single = lambda *shape: jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    some, held = low(k, s, c), low(tiling.count, s, c)
    if case.kernel == "region":
        return some, held, held, some, some, jax.ShapeDtypeStruct((1, k), jnp.int32)
    if case.kernel == "own":
        return some, some, some, single(k * s)
    text, gain = low(case.text, c), single(case.text)
    return low(k * s, c), text, text, gain, gain, single()


def functions(case: Case) -> dict[str, Callable[..., Any]]:
    """Our kernel, the plain path and XLA's attention, for operands like `shapes`."""
    heads = MODELS[case.model].heads

    def side_by_side(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*operands: Array) -> Any:
            out = function(*split(operands, heads))
            return out.reshape(*out.shape[:-2], -1)

        return run

    return {name: side_by_side(function) for name, function in in_heads(case).items()}


def in_heads(case: Case) -> dict[str, Callable[..., Any]]:
    """The three functions of `functions`, for operands that are `split` into heads."""
    if case.kernel == "cross":
        return {"ours": cross, "plain": plain_cross, "xla": plain_cross}
    call: Callable[..., Array] = region if case.kernel == "region" else own
    return {
        name: partial(call, attend)
        for name, attend in [("ours", kernel), ("plain", plain_tiles), ("xla", xla)]
    }


def split(operands: Sequence[Array], heads: int) -> list[Array]:
    """Operands with an axis of heads; operands of fewer than three axes have none."""
    return [x if x.ndim < 3 else x.reshape(*x.shape[:-1], heads, -1) for x in operands]


def region(
    attend: Callable[..., Array],
    query: Array,
    key: Array,
    value: Array,
    new_key: Array,
    new_value: Array,
    active: Array,
) -> Array:
    """Attention over held keys and values, with fresh ones of the active tiles."""
    return attend(query, key, value, Fresh(new_key, new_value, active), None)


def own(
    attend: Callable[..., Array], query: Array, key: Array, value: Array, bias: Array
) -> Array:
    """Attention over the active tokens themselves, with a bias per key."""
    return attend(query, key, value, None, bias.reshape(query.shape[:3]))


def kernel(query: Array, key: Array, value: Array, fresh: Any, bias: Any) -> Array:
    """The kernel's output, even where the library would not choose it."""
    name = dispatch.choose()
    return kernel_part(name, query, key, value, fresh, bias, False)[0]


def xla(query: Array, key: Array, value: Array, fresh: Any, bias: Any) -> Array:
    """The output of plain XLA attention, computed in blocks of queries."""
    if fresh is not None:
        key = written(key, fresh.tiles, fresh.key)
        value = written(value, fresh.tiles, fresh.value)
    q, k, v = (x.reshape(1, -1, *x.shape[3:]) for x in (query, key, value))
    offset = None if bias is None else bias.reshape(1, -1)
    return chunked(q, k, v, offset).reshape(query.shape)


def cross(
    query: Array, key: Array, value: Array, bias: Array, gain: Array, output: Array
) -> Array:
    """Attention over the text, by the kernel."""
    name, gains = dispatch.choose(), (gain, output)
    return over_text(query, key, value, bias, gains, None, implementation=name)


def plain_cross(
    query: Array, key: Array, value: Array, bias: Array, gain: Array, output: Array
) -> Array:
    """Attention over the text, by the plain path."""
    return plain_text(query, key, value, bias, (gain, output), None)
