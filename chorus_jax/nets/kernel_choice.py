"""Chooses Pallas kernels where they are faster than the plain path, and says why.

`with kernels_pallas.dispatch.forced(NAME):` names an implementation for both kernels;
under `with enabled(()):` none runs. A kernel's refusal is logged once.
"""

import logging
from functools import lru_cache

import jax

from chorus_jax.devices import sharding
from chorus_jax.nets.attention import ImplementationChoice, choose
from kernels_pallas import dispatch
from kernels_pallas.amplified_cross_attention.api import MOST_KEYS

REGION = "masked_region_attention"
TEXT = "amplified_cross_attention"

# What is faster than REGION on the same queries, the writing of fresh tiles and changes
# of layout included. Splash by the compiler's schedules, 5 to 20 % fewer cycles on v4
# to v6e (benchmarks/results/kernels.jsonl), but for the shares of active tiles below.
# CuDNN by its design, not measured: Triton's kernel does not overlap softmax and
# products, which keeps it below 55 % of an H100.
FASTER = {
    "splash": "splash on the same queries takes fewer cycles",
    "cudnn": "cudnn on the same queries should be faster",
}

# The largest measured share of active tiles, by the kind of device, of which a layer
# takes fewer cycles with REGION than with splash: 12 % fewer on v6e at 720p.
SMALL_SHARES = {"TPU v6 lite": 0.1}

log = logging.getLogger(__name__)
# The kernels that may run.
enabled = jax.make_user_context(default_value=(REGION, TEXT))


def region_choice(
    query: dispatch.Query, key: dispatch.Query, biased: bool = False
) -> ImplementationChoice:
    """The implementation of REGION that attends, None for the plain path, and why.

    Args:
        query: queries in tiles [b k s a d], or their shape.
        key: keys in tiles [b t s a d], or their shape.
        biased: whether there is a bias per key.
    """
    platform, kind = dispatch.device()
    plain = choose(platform, query.dtype, biased)
    small = query.shape[1] <= SMALL_SHARES.get(kind, 0.0) * key.shape[1]
    if plain.name in FASTER and not small and dispatch.forced.value is None:
        return ImplementationChoice(None, FASTER[plain.name])
    return chosen(REGION, query, key, f"faster than {plain.name} on the same queries")


def text_choice(query: dispatch.Query, key: dispatch.Query) -> ImplementationChoice:
    """The implementation of TEXT that attends, None for the plain path, and why.

    Args:
        query: queries [b n a d], or their shape.
        key: keys of the text [b m a d], or their shape.
    """
    if key.shape[1] > MOST_KEYS:
        return ImplementationChoice(
            None, f"{key.shape[1]} keys are more than {MOST_KEYS}"
        )
    reason = "faster than chunked, which writes its logits"
    return chosen(TEXT, query, key, reason)


def chosen(
    kernel: str, query: dispatch.Query, key: dispatch.Query, reason: str
) -> ImplementationChoice:
    """The platform's implementation of a kernel, for a reason, if it takes these
    arrays."""
    if kernel not in enabled.value:
        return ImplementationChoice(None, "switched off")
    if dispatch.forced.value is not None:
        return ImplementationChoice(dispatch.forced.value, "forced")
    name = dispatch.choose()
    if name == "reference":
        return ImplementationChoice(None, f"no kernel runs on a {sharding.platform()}")
    refusal = dispatch.refusal(kernel, name, query, key)
    if refusal is None:
        return ImplementationChoice(name, reason)
    warn_once(f"{kernel}: {name!r} refuses {refusal}; the plain path runs")
    return ImplementationChoice(None, f"{name!r} refuses {refusal}")


@lru_cache
def warn_once(line: str) -> None:
    """Logs a line: all layers of all programs ask for a choice."""
    log.warning(line)
