"""The scheduler_config.json of an exported model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chorus_jax.checkpoints import Card
from chorus_jax.families import registry
from convert.families import FAMILIES

SHIFT = "flow_shift"


def scheduler_config(folder: Path, transformer: str) -> Mapping[str, Any]:
    """The scheduler that a checkpoint's weights came with, else its family's.

    The family's has the shift that the model's authors published; for a model that is
    not recognised, the one that diffusers' converter writes.

    Args:
        folder: the checkpoint.
        transformer: the part that is exported as the transformer.
    """
    card = Card.read(folder)
    usual = FAMILIES[card.family].scheduler
    if card.scheduler or SHIFT not in usual:
        return card.scheduler or usual
    family = registry.family_of(folder)
    request = family.defaults(folder, transformer).request
    recognised = request in [x.request for x in family.published.values()]
    return {**usual, SHIFT: request.shift} if recognised else usual
