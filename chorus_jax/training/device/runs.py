"""The stages of a recipe with clips that are drawn on the device, not on disk."""

import functools
from dataclasses import dataclass

from chorus_jax.training.device.bank import Bank, fill
from chorus_jax.training.device.batches import DeviceBatches
from chorus_jax.training.device.wordings import Wordings, make_wordings
from chorus_jax.training.runs import Runs


@dataclass(frozen=True)
class DeviceRuns(Runs):
    """`Runs` whose clips never leave the device.

    Attributes:
        wordings: number of captions drawn for each combination of attributes.
        at_once: number of clips drawn and encoded in one call.

    Raises:
        ValueError: if the recipe has clips of two objects.
    """

    wordings: int = 64
    at_once: int = 256

    def __post_init__(self) -> None:
        if self.recipe.pairs:
            raise ValueError(
                "clips drawn on the device have one object, but the recipe asks for "
                f"two in a share of {self.recipe.pairs}: set pairs to 0, or encode "
                "clips on disk"
            )

    @functools.cached_property
    def filled(self) -> tuple[Bank, Wordings]:
        """A bank with the recipe's number of clips, and their captions."""
        recipe = self.recipe
        words = make_wordings(self.tokenizer(), self.wordings, recipe.seed)
        vae = self.finished_vae("float32")
        clips = recipe.train_flow.clips
        return fill(vae, words, recipe.world, clips, self.at_once, recipe.seed), words

    def encode(self) -> None:
        """Makes `vae_model/` of the newest VAE if there is none; no clip is stored."""
        self.finished_vae("float32")

    def flow_batches(self) -> DeviceBatches:
        """Batches of the clips on the device."""
        training = self.recipe.train_flow
        return DeviceBatches(lambda: self.filled, self.tokenizer(), training)
