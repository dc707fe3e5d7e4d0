"""The real shapes of the kernels: Wan 1.3B and 14B at 480p and 720p, 81 frames.

What is compared with a kernel does the same work from the same arrays: the library's
attention on gathered queries, gathers and scatters included. The arrays have heads side
by side, as the model's products leave them: a TPU lays an axis of heads of its own out
in another way, and what is then counted of our kernels is mostly copies. Of what they
are compared with it is the other way round, so that is compiled for both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.nets.attention import attention
from chorus_jax.nets.chunked_attention import chunked
from chorus_jax.nets.tokens import Size, Tiling
from kernels_pallas.amplified_cross_attention.api import amplified_cross_attention
from kernels_pallas.masked_region_attention.api import masked_region_attention
from kernels_pallas.masked_region_attention.reference import Fresh, put, take

MODELS = {"1.3b": WanConfig.t2v_1_3b(), "14b": WanConfig.t2v_14b()}
GRIDS: dict[str, Size] = {"480p": (21, 30, 52), "720p": (21, 45, 80)}
SHARES = (0.1, 0.25, 0.5, 1.0)
# A prompt with its padding collapsed, and all the rows that Wan attends to.
TEXTS = (128, 512)


@dataclass(frozen=True)
class Case:
    """A kernel at a real shape: `share` of the tiles active, `text` keys."""

    kernel: str
    model: str
    size: str
    share: float
    text: int = 0

    @property
    def name(self) -> str:
        """The row's name, without its device."""
        words = [self.kernel, self.model, self.size, f"{self.share:g}"]
        return " ".join(words + ([f"{self.text} words"] if self.text else []))

    @property
    def tiling(self) -> Tiling:
        """The video's tiles."""
        return Tiling.fitting(GRIDS[self.size], MODELS[self.model].tile)

    @property
    def active(self) -> int:
        """The number of active tiles."""
        return max(1, round(self.share * self.tiling.count))

    @property
    def donated(self) -> tuple[int, ...]:
        """The operands that are written in place: jax gives the first of them to the
        first result, so they are in the order of the results."""
        return (1, 2, 3) if self.kernel == "region" else (3,)

    @property
    def operations(self) -> int:
        """Of both products."""
        config, tiling = MODELS[self.model], self.tiling
        keys = self.text or tiling.count * tiling.size
        return 4 * self.active * tiling.size * keys * config.width

    @property
    def bytes(self) -> int:
        """What must at least be read and written, in bfloat16."""
        tiling = self.tiling
        keys = self.text or tiling.count * tiling.size
        rows = 2 * self.active * tiling.size + 2 * keys
        return 2 * rows * MODELS[self.model].width


CASES = tuple(
    Case(kernel, model, size, share, text)
    for model in MODELS
    for size in GRIDS
    for share in SHARES
    for kernel, text in [("region", 0), *(("cross", text) for text in TEXTS)]
)


def shapes(case: Case) -> tuple[Any, ...]:
    """Abstract operands of the functions of a case."""
    c, tiling = MODELS[case.model].width, case.tiling
    s = tiling.size
    low = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    tiles = jax.ShapeDtypeStruct((1, case.active), jnp.int32)
    whole, some = (1, tiling.count, s, c), (1, case.active, s, c)
    if case.kernel == "region":
        queries, held, new = low(*whole), low(*whole), low(*some)
        return queries, held, held, low(*whole), new, new, tiles
    n, m = tiling.count * s, case.text
    single = lambda *shape: jax.ShapeDtypeStruct(shape, jnp.float32)
    text = low(1, m, c)
    gains = single(1, m), single(1, m), single(1)
    return low(1, n, c), text, text, low(1, n, c), *gains, tiles


def functions(case: Case) -> dict[str, Callable[..., Any]]:
    """Ours, the library's, and plain XLA's, of the same operands."""
    heads = MODELS[case.model].heads

    def side_by_side(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*operands: Array) -> Any:
            found = function(*split(operands, heads))
            return jax.tree.map(lambda x: x.reshape(*x.shape[:-2], -1), found)

        return run

    return {name: side_by_side(function) for name, function in in_heads(case).items()}


def in_heads(case: Case) -> dict[str, Callable[..., Any]]:
    """The same functions of operands that are `split`."""
    size = case.tiling.size if case.share < 1 else None
    if case.kernel == "region":
        return {"ours": region, "library": library_region, "xla": plain_region}
    return {"ours": cross(size), "xla": plain_cross(size)}


def split(operands: Sequence[Array], heads: int) -> list[Array]:
    """Operands with an axis of heads: all those of three axes or more have heads."""
    return [x if x.ndim < 3 else x.reshape(*x.shape[:-1], heads, -1) for x in operands]


def region(
    query: Array,
    key: Array,
    value: Array,
    out: Array,
    new_key: Array,
    new_value: Array,
    active: Array,
) -> tuple[Array, Array, Array]:
    """The kernel: keys, values and outputs, in place."""
    fresh = Fresh(new_key, new_value, active)
    found = masked_region_attention(query, key, value, active, fresh=fresh, out=out)
    return found.key, found.value, found.out


def gathered(attend: Callable[..., Array]) -> Callable[..., Any]:
    """The same by an attention of gathered queries."""

    def run(
        query: Array,
        key: Array,
        value: Array,
        out: Array,
        new_key: Array,
        new_value: Array,
        active: Array,
    ) -> tuple[Array, Array, Array]:
        key, value = put(key, active, new_key), put(value, active, new_value)
        joined = lambda x: x.reshape(1, -1, *x.shape[3:])
        found = attend(joined(take(query, active)), joined(key), joined(value))
        return key, value, put(out, active, found.reshape(new_key.shape))

    return run


library_region = gathered(attention)
plain_region = gathered(lambda query, key, value: chunked(query, key, value, None))


def cross(size: int | None) -> Callable[..., Array]:
    """The kernel, of all tokens or of tiles of a size."""

    def run(
        query: Array,
        key: Array,
        value: Array,
        out: Array,
        bias: Array,
        gain: Array,
        output_gain: Array,
        active: Array,
    ) -> Array:
        region: dict[str, Any] = {}
        if size is not None:
            region = {"active": active, "size": size, "out": out}
        return amplified_cross_attention(
            query,
            key,
            value,
            bias=bias,
            key_gain=gain,
            output_gain=output_gain,
            **region,
        )

    return run


def plain_cross(size: int | None) -> Callable[..., Array]:
    """XLA's, gathered and scattered if there are tiles."""

    def run(
        query: Array,
        key: Array,
        value: Array,
        out: Array,
        bias: Array,
        gain: Array,
        output_gain: Array,
        active: Array,
    ) -> Array:
        tiles = lambda x: x.reshape(1, -1, size or x.shape[1], *x.shape[2:])
        rows = query if size is None else take(tiles(query), active)
        rows = rows.reshape(1, -1, *query.shape[2:])
        gain = gain.astype(key.dtype)[..., None, None]
        found = chunked(rows, key * gain, value, bias)
        found = found * output_gain.astype(key.dtype)[:, None, None, None]
        if size is None:
            return found
        found = found.reshape(1, -1, size, *query.shape[2:])
        return put(tiles(out), active, found).reshape(query.shape)

    return run
