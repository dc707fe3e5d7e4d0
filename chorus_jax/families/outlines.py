"""Models without weights (shapes only), for planning memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
from flax import nnx

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card, config_from
from chorus_jax.checkpoints.card import Part
from chorus_jax.checkpoints.fields import described
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.protocols import LoadOptions, VideoModel
from chorus_jax.text.prompts import Tokenizer

# Makes a model from its parts, which may also be abstract or traced.
Assemble = Callable[[Mapping[str, Any], Tokenizer, LoadOptions], VideoModel]


@dataclass(frozen=True, eq=False)
class Outline:
    """A model without weights.

    Attributes:
        parts: the model's modules by name, with shapes in place of arrays.
        text_limit: tokens of a prompt, padding included.
        assemble: makes a model from such parts.
        reads_image: whether the model needs an image to make a video of.
        reads_last_image: whether the model needs a last image too.
    """

    parts: Mapping[str, nnx.Module]
    text_limit: int
    assemble: Assemble
    reads_image: bool = False
    reads_last_image: bool = False


@runtime_checkable
class OutlinedFamily(Protocol):
    """A family that can outline its models, from a card or by published name."""

    def card(self, name: str) -> Card:
        """The card of a published model, as it is converted by default. Raises a
        ValueError for another name."""

    def outline(self, card: Card, transformer: str = TRANSFORMER) -> Outline:
        """The outline of the model that a card describes; reads no weights."""


def made_card(
    family: str, parts: Mapping[str, tuple[type, Any]], settings: Mapping[str, Any]
) -> Card:
    """A card for a model without a checkpoint folder.

    Args:
        family: the family's name.
        parts: class and config of each part, by name.
        settings: settings of the whole model (see `Card`).
    """
    return Card(
        family,
        {
            name: Part(
                model.__name__,
                described(config),
                config.dtype,
                sum(
                    x.size for x in jax.tree.leaves(checkpoints.abstract(model, config))
                ),
                "",
            )
            for name, (model, config) in parts.items()
        },
        settings=settings,
    )


def abstract_parts(
    card: Card, classes: Mapping[str, tuple[type, type]], stored: Mapping[str, str]
) -> dict[str, nnx.Module]:
    """The parts of a card with shapes in place of arrays.

    Args:
        card: the model's card.
        classes: the class of each part's module and of its config, by part.
        stored: the name that each part has in the card.
    """
    return {
        name: checkpoints.abstract(
            model, config_from(config, card.part(stored[name]).config)
        )
        for name, (model, config) in classes.items()
    }


def named(cards: Mapping[str, Callable[[], Card]], name: str) -> Card:
    """The card of this name. Raises a ValueError for an unknown name, listing the known
    ones."""
    if name not in cards:
        raise ValueError(
            f"no published model is {name!r}: known are {', '.join(cards)}"
        )
    return cards[name]()
