"""Whether the parts of a Wan are of one model, told before anything is written."""

from collections.abc import Mapping
from typing import Any

from chorus_jax.families.wan.sizes import Sizes
from convert.source import PARTS, Source


def check_fit(source: Source, parts: Mapping[str, Any]) -> None:
    """ValueError unless the parts, and the tokenizer, are of one model.

    Args:
        source: where they come from.
        parts: each with its abstract `module`; what is checked needs all of `PARTS`.
    """
    if not all(name in parts for name in PARTS):
        return
    sizes = Sizes(**{name: part.module.config for name, part in parts.items()})
    known = sizes.text_encoder.vocab
    words = source.tokenizer.rules().get_vocab_size()
    if words > known:
        raise ValueError(
            f"the tokenizer has {words} tokens, but the text encoder knows {known}: "
            "they are of different models; give the tokenizer of this text encoder"
        )
