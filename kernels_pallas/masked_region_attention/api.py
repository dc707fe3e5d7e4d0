"""Masked region attention: queries of some tiles over the keys of all of them."""

from jaxtyping import Array, Float, Float32, Int

from kernels_pallas import dispatch, tile_ids
from kernels_pallas.masked_region_attention.reference import Attended, Fresh

NAME = "masked_region_attention"


def masked_region_attention(
    query: Float[Array, "b q s a d"],
    key: Float[Array, "b t s a d"],
    value: Float[Array, "b t s a d"],
    active: Int[Array, "b k"] | None = None,
    *,
    fresh: Fresh | None = None,
    bias: Float32[Array, "b t s"] | None = None,
    logsumexp: bool = False,
    implementation: str | None = None,
) -> Attended:
    """softmax(query key^T / sqrt(d) + bias) value for the queries of the active tiles.

    Logits, softmax and sums are float32. A query whose keys are all dropped gets zeros.

    Args:
        query: queries in tiles of s tokens.
        key: keys of all tiles, before the fresh keys are written into them.
        value: values of all tiles, before the fresh values are written into them.
        active: ids of the tiles of `query` that attend, each at most once; None for all
            tiles in order. A negative id is padding; a block that is all padding costs
            nothing, so padding should come last.
        fresh: keys and values that are first written into `key` and `value`, in place
            if the caller does not use `key` and `value` again.
        bias: one number per key: minus infinity drops it, log(r) counts it r times.
        logsumexp: whether to return the logarithm of each query's sum of weights, with
            which outputs over parts of the keys can be combined.
        implementation: the implementation that must run; None chooses by
            `kernels_pallas.dispatch`.

    Returns:
        The outputs of the active tiles in their order, and the keys and values.

    Raises:
        ValueError: if dtypes differ, or if ids of tiles are too large or repeated.
            Traced ids cannot be checked: an id out of range is then padding.
        NotImplementedError: if the implementation does not support these arrays.
    """
    check_dtypes(query, key, value, fresh)
    if active is not None:
        if active.shape[1] > query.shape[1]:
            raise ValueError(
                f"{active.shape[1]} active tiles of {query.shape[1]}: each at most once"
            )
        active = tile_ids.bounded("active", active, query.shape[1])
    if fresh is not None:
        tiles = tile_ids.bounded("fresh.tiles", fresh.tiles, key.shape[1])
        fresh = fresh._replace(tiles=tiles)
    attend = dispatch.variant(NAME, implementation, query, key)
    interpret = dispatch.choose(implementation).endswith("_interpreted")
    return attend(query, key, value, active, fresh, bias, logsumexp, interpret)


def check_dtypes(query: Array, key: Array, value: Array, fresh: Fresh | None) -> None:
    """Raises a ValueError unless all arrays have one dtype."""
    dtypes = {x.dtype for x in (query, key, value, *(fresh or ())[:2])}
    if len(dtypes) > 1:
        raise ValueError(
            f"queries, keys and values need one dtype, got {query.dtype=}, "
            f"{key.dtype=}, {value.dtype=}, fresh={fresh and fresh.key.dtype}: "
            "cast them"
        )
