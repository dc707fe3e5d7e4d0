"""Which of our Pallas kernels run, and why: where they are faster than the plain path.

`with kernels_pallas.dispatch.forced(NAME):` names an implementation for both kernels;
under `with enabled(()):` none runs. A kernel's refusal is logged once.
"""

import logging
from functools import lru_cache

import jax

from chorus_jax.devices import sharding
from chorus_jax.nets.attention import Choice, choose
from kernels_pallas import dispatch
from kernels_pallas.amplified_cross_attention.api import MOST_KEYS

REGION = "masked_region_attention"
TEXT = "amplified_cross_attention"

# How the kinds of TPU begin on which REGION can take the place of splash.
OVER_SPLASH = ("TPU v6",)
# Of a register.
ROWS = 8
SPLASH = "splash takes fewer cycles on these queries"
# Not measured: Triton's kernel has no overlap of softmax and products, so that about
# half of the peak is out of its reach (55 % of an H100 by count), and cuDNN has.
CUDNN = "cudnn on the same queries should be faster"

log = logging.getLogger(__name__)
# The kernels that may run.
enabled = jax.make_user_context(default_value=(REGION, TEXT))


def region_choice(
    query: dispatch.Query, key: dispatch.Query, biased: bool = False
) -> Choice:
    """Which implementation of REGION attends, None for the plain path, and why.

    Args:
        query: queries in tiles [b k s a d], or their shape.
        key: keys in tiles [b t s a d], or their shape.
        biased: whether there is a bias per key.
    """
    choice = chosen(REGION, query, key)
    if choice.name is None or dispatch.forced.value is not None:
        return choice
    plain = choose(dispatch.device()[0], query.dtype, biased)
    if plain.name == "cudnn":
        return Choice(None, CUDNN)
    if plain.name == "splash" and not beats_splash(query):
        return Choice(None, SPLASH)
    return Choice(choice.name, f"faster than {plain.name} on the same queries")


def text_choice(query: dispatch.Query, key: dispatch.Query) -> Choice:
    """Which implementation of TEXT attends, None for the plain path, and why.

    Args:
        query: queries [b n a d], or their shape.
        key: keys of the text [b m a d], or their shape.
    """
    if key.shape[1] > MOST_KEYS:
        return Choice(None, f"{key.shape[1]} keys are more than {MOST_KEYS}")
    choice = chosen(TEXT, query, key)
    if choice.name is None or dispatch.forced.value is not None:
        return choice
    return Choice(choice.name, "faster than chunked, which writes its logits")


def chosen(kernel: str, query: dispatch.Query, key: dispatch.Query) -> Choice:
    """The platform's implementation of a kernel if it takes these arrays."""
    if kernel not in enabled.value:
        return Choice(None, "switched off")
    if dispatch.forced.value is not None:
        return Choice(dispatch.forced.value, "forced")
    name = dispatch.choose()
    if name == "reference":
        return Choice(None, f"no kernel runs on a {sharding.platform()}")
    refusal = dispatch.refusal(kernel, name, query, key)
    if refusal is None:
        return Choice(name, f"the {name}'s own kernel")
    warn_once(f"{kernel}: {name!r} refuses {refusal}; the plain path runs")
    return Choice(None, f"{name!r} refuses {refusal}")


def beats_splash(query: dispatch.Query) -> bool:
    """Whether REGION takes fewer cycles than splash on the same queries.

    By the compiler's schedules of a layer of Wan (benchmarks/kernels/steps.py): where
    tiles are no whole registers of rows, splash has keys and values laid out anew, and
    a kernel of ours is faster on v6e; elsewhere splash computes more per cycle.
    """
    kind, size = dispatch.device()[1], query.shape[2]
    return kind.startswith(OVER_SPLASH) and size % ROWS > 0


@lru_cache
def warn_once(line: str) -> None:
    """Logs a line: all layers of all programs ask for a choice."""
    log.warning(line)
