"""The default index of a cache: ScaNN's where it is installed, else an exact one."""

import logging
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec

from chorus_jax.inter_request.index.exact import ExactIndex
from chorus_jax.inter_request.index.protocol import Index
from chorus_jax.inter_request.index.scann_index import Rebuilds, ScannIndex

log = logging.getLogger(__name__)


def default_index(rebuilds: Rebuilds = Rebuilds()) -> Callable[[int], Index]:
    """A function that makes an empty index of a width: a `ScannIndex`, which is exact
    until it has many entries, or an `ExactIndex` where ScaNN is missing, which the log
    says.

    ScaNN is looked for, not imported: its index does that when it first builds.
    """
    if find_spec("scann") is not None:
        return partial(ScannIndex, rebuilds=rebuilds)
    log.info(
        "scann is not installed (Linux on x86-64 only): every search compares with "
        "all entries of a recipe, which takes longer from about %d of them on",
        rebuilds.least,
    )
    return ExactIndex
