"""Whether a Wan's parts are of one model, and what it says of its solver is run here:
told before anything is written."""

from collections.abc import Mapping
from typing import Any

from chorus_jax.families.ltx.schedule import schedule_of
from chorus_jax.families.ltx.sizes import LTXSizes
from chorus_jax.families.ltx2.schedule import schedule_of as ltx2_schedule
from chorus_jax.families.ltx2.sizes import LTX2Sizes
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.schedulers import stored
from convert.source import PARTS, Source

# By family: the sizes of a model's parts, which refuse those that do not fit, and the
# reader of its scheduler, which refuses what is not run here.
SIZES: Mapping[str, Any] = {"wan": Sizes, "ltx": LTXSizes, "ltx2": LTX2Sizes}
SCHEDULES: Mapping[str, Any] = {
    "wan": stored.read,
    "ltx": schedule_of,
    "ltx2": ltx2_schedule,
}


def check_fit(source: Source, parts: Mapping[str, Any]) -> None:
    """ValueError unless the parts, and the tokenizer, are of one model, and its
    scheduler is one that is run here.

    Args:
        source: where they come from.
        parts: each with its abstract `module`; what is checked needs all of `PARTS`.
    """
    if source.scheduler is not None:
        SCHEDULES[source.family](source.scheduler)
    if not all(name in parts for name in PARTS):
        return
    sizes = SIZES[source.family](
        **{name: part.module.config for name, part in parts.items()}
    )
    known = sizes.text_encoder.vocab
    words = source.tokenizer.rules().get_vocab_size()
    if words > known:
        raise ValueError(
            f"the tokenizer has {words} tokens, but the text encoder knows {known}: "
            "they are of different models; give the tokenizer of this text encoder"
        )
