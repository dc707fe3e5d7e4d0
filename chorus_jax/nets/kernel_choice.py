"""Chooses our Pallas kernels where they are faster than the plain path, with a reason.

`with kernels_pallas.dispatch.forced(NAME):` forces an implementation of both kernels;
under `with enabled(()):` no kernel runs. Each refusal of a kernel is logged once.
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

# Implementations that are faster than REGION on the same queries, including the time to
# write fresh tiles and change layouts. Splash: 4 to 21 % fewer cycles by the compiler's
# schedules on v4 to tpu7x (benchmarks/results/kernels.jsonl), except for the small
# shares of active tiles below. cuDNN: on an H200 it is 2.7 to 4 times faster than
# Triton's kernel, which does not overlap softmax and products (benchmarks/accelerator).
FASTER = {
    "splash": "splash on the same queries takes fewer cycles",
    "cudnn": "cudnn on the same queries is faster",
}

# By kind of device and number of heads, the largest measured share of active tiles at
# which a layer takes fewer cycles with REGION than with splash, at 720p: of Wan 1.3B
# 12 % fewer on v6e and 4 % on v5e; of 14B on v6e 18 % fewer at .1, 3 % at .25.
SMALL_SHARES = {
    ("TPU v6 lite", 12): 0.1,
    ("TPU v6 lite", 40): 0.251,  # 158 of 630 tiles
    ("TPU v5 lite", 12): 0.1,
}

log = logging.getLogger(__name__)
# The kernels that may run.
enabled = jax.make_user_context(default_value=(REGION, TEXT))


def region_choice(
    query: dispatch.Query, key: dispatch.Query, biased: bool = False
) -> ImplementationChoice:
    """Chooses the implementation of REGION; its name is None for the plain path.

    Args:
        query: queries in tiles [b k s a d], or their shape.
        key: keys in tiles [b t s a d], or their shape.
        biased: whether there is a bias per key.
    """
    platform, kind = dispatch.device()
    plain = choose(platform, query.dtype, biased)
    most = SMALL_SHARES.get((kind, query.shape[3]), 0.0)
    small = query.shape[1] <= most * key.shape[1]
    if plain.name in FASTER and not small and dispatch.forced.value is None:
        return ImplementationChoice(None, FASTER[plain.name])
    return chosen(REGION, query, key, f"faster than {plain.name} on the same queries")


def text_choice(query: dispatch.Query, key: dispatch.Query) -> ImplementationChoice:
    """Chooses the implementation of TEXT; its name is None for the plain path.

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
    """The platform's implementation of a kernel and the given reason, if the kernel is
    enabled and takes these arrays; else None and why it does not run. A forced
    implementation is not checked against the arrays."""
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
    """Logs a line only the first time, since every layer of every program asks for a
    choice."""
    log.warning(line)
