"""The base of the families LTX-Video and LTX-2, as the registry lists them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from chorus_jax.checkpoints import Card
from chorus_jax.families.describing import others_of, part_lines
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.families.ltx_shared.scheduler_file import SchedulerFile
from chorus_jax.families.ltx_shared.solving import check_cache
from chorus_jax.families.memory import check_request_memory, least_memory
from chorus_jax.families.outlines import Outline, abstract_parts, named
from chorus_jax.families.protocols import (
    Defaults,
    LoadOptions,
    RequestCheck,
    VideoModel,
)
from chorus_jax.request import Request


def with_file(defaults: Defaults, scheduler: Mapping[str, Any] | None) -> Defaults:
    """The default settings of a model, with those of its scheduler file.

    Args:
        defaults: the settings without the file.
        scheduler: the content of the scheduler_config.json that the weights came with;
            None without one.

    Raises:
        ValueError: for a scheduler that is not supported.
    """
    if scheduler is None:
        return defaults
    request = replace(defaults.request, **SchedulerFile.read(scheduler).chosen)
    if request == defaults.request:
        return defaults
    source = f"{defaults.source}; solver and shift are those its weights came with"
    return replace(defaults, request=request, source=source)


class SharedLTXFamily:
    """Loading, checks and descriptions of one LTX family (see `protocols.Family`).

    Attributes:
        model: the class of its models, a `SharedLTXModel`.
        cards: makes the card of each published model, by name.
    """

    model: ClassVar[Any]
    cards: ClassVar[Mapping[str, Callable[[], Card]]]

    def load(self, folder: Path, options: LoadOptions) -> VideoModel:
        """Loads the model of a converted checkpoint folder. Raises a ValueError for a
        folder of another family."""
        options.check_experts(1)
        return self.model.load(folder, options)

    def checker(
        self, folder: Path, options: LoadOptions = LoadOptions()
    ) -> RequestCheck:
        """The check of requests. It raises a ValueError for what the model cannot run
        (see the `check` of the family's sizes), and if there is too little memory.

        Raises:
            ValueError: for options that the model does not have.
        """
        options.check_experts(1)
        parts, mesh, card = self.model.folder, options.mesh, Card.read(folder)
        sizes = parts.sizes.read(folder, options.transformer)
        schedule, names = (
            parts.schedule(card.scheduler),
            parts.names(options.transformer),
        )
        stored = {name: card.part(names[name]) for name in parts.parts(card)}

        def check(request: Request, batch: int = 1, held_keys: bool = False) -> None:
            sizes.check(request)
            check_cache(request, sizes, schedule, parts.branches)
            if mesh is not None:
                sizes.check_mesh(mesh, request, batch)
            grid, network = sizes.grid(request), sizes.transformer
            shape = (*grid, network.in_channels)
            needed = least_memory(
                stored, network, grid, shape, request, options, batch, held_keys
            )
            check_request_memory(needed, request, batch, mesh)

        return check

    def fingerprints(self, folder: Path, transformer: str) -> Mapping[str, str]:
        """Fingerprints of the weights that a run reads, by part."""
        return self.model.folder.fingerprints(Card.read(folder), transformer)

    def distilled(self, folder: Path) -> tuple[str, ...]:
        """The parts that can be run in place of the usual transformer."""
        kind, _ = self.model.folder.parts(Card.read(folder))[TRANSFORMER]
        return others_of(folder, kind, (TRANSFORMER,))

    def lines(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Yields lines that describe each part's size, the memory of all, and the
        attention implementations."""
        read = self.model.folder.sizes.read
        parts = self.model.folder.parts(Card.read(folder))
        others = {
            name: read(folder, name).transformer for name in self.distilled(folder)
        }
        yield from part_lines(read(folder), parts, others)

    def card(self, name: str) -> Card:
        """The card of a published model, as it is converted by default. Raises a
        ValueError for an unknown name."""
        return named(self.cards, name)

    def outline(self, card: Card, transformer: str = TRANSFORMER) -> Outline:
        """The model that a card describes, without weights."""
        folder = self.model.folder
        parts: Mapping[str, Any] = abstract_parts(
            card, folder.parts(card), folder.names(transformer)
        )
        limit = parts[TRANSFORMER].config.text_limit
        return Outline(parts, limit, partial(self.model.assembled, card))
