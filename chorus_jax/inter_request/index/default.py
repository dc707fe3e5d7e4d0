"""The default index of a cache: ScaNN if it is installed, else exact search."""

import logging
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from chorus_jax.inter_request.index.exact import ExactIndex
from chorus_jax.inter_request.index.protocol import Index
from chorus_jax.inter_request.index.scann_index import Rebuilds, ScannIndex

log = logging.getLogger(__name__)


def default_index(rebuilds: Rebuilds = Rebuilds()) -> Callable[[int], Index]:
    """A function that makes an empty index for vectors of a given width.

    It makes a `ScannIndex` (exact until it has many entries) if ScaNN is installed,
    else an `ExactIndex`, with a log line. ScaNN is not imported here; `ScannIndex`
    imports it when it first builds a searcher.

    Args:
        rebuilds: when a `ScannIndex` builds a searcher.
    """
    if find_spec("scann") is not None:
        return partial(ScannIndex, rebuilds=rebuilds)
    log.info(
        "scann is not installed (Linux on x86-64 only): every search compares with "
        "all entries of a recipe, which takes longer from about %d of them on",
        rebuilds.least,
    )
    return ExactIndex
