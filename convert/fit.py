"""Checks, before anything is written, that a model's parts belong together.

Its scheduler must also be one that this library can run.
"""

from collections.abc import Mapping
from typing import Any

from chorus_jax.families.ltx.schedule import schedule_of
from chorus_jax.families.ltx.sizes import LTXSizes
from chorus_jax.families.ltx2.schedule import schedule_of as ltx2_schedule
from chorus_jax.families.ltx2.sizes import LTX2Sizes
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.schedulers import stored
from convert.source import PARTS, Source

# By family: the class of a model's sizes, which raises if parts do not fit together,
# and the reader of scheduler configs, which raises for unsupported ones.
SIZES: Mapping[str, Any] = {"wan": Sizes, "ltx": LTXSizes, "ltx2": LTX2Sizes}
SCHEDULES: Mapping[str, Any] = {
    "wan": stored.read,
    "ltx": schedule_of,
    "ltx2": ltx2_schedule,
}


def check_fit(source: Source, parts: Mapping[str, Any]) -> None:
    """Raises a ValueError if a model's parts do not fit, or its scheduler cannot be
    run.

    Args:
        source: the model.
        parts: its parts, each with its abstract `module`. If any of `PARTS` is missing,
            only the scheduler is checked.
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
