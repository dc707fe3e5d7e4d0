"""Settings of guidance whose scales change with the noise level."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real


@dataclass(frozen=True)
class GuidanceSchedule:
    """Classifier-free and spatio-temporal guidance by noise level.

    Every field but `star` has one entry per noise level. A step uses the first entry
    whose level is at or below the step's own noise level, or the last entry if there is
    none. Every step runs all the passes that any of the steps needs.

    Attributes:
        levels: noise levels between 0 and 1, falling.
        scales: scales of classifier-free guidance; up to 1 for none.
        perturbed_scales: scales of spatio-temporal guidance; 0 for none.
        rescales: how far the standard deviation of the guided output is rescaled to
            that of the prompt's output, 0 to 1, where there is spatio-temporal
            guidance.
        layers: the layers that skip attention in the perturbed pass.
        star: whether the negative prompt's output is first scaled so that it is the
            projection of the prompt's output onto it (CFG-Zero*, arXiv 2503.18886).

    Raises:
        ValueError: for values of a wrong type or out of range, and for fields with
            different numbers of entries.
    """

    levels: tuple[float, ...]
    scales: tuple[float, ...]
    perturbed_scales: tuple[float, ...]
    rescales: tuple[float, ...]
    layers: tuple[tuple[int, ...], ...]
    star: bool = False

    def __post_init__(self) -> None:
        counts = {len(x) for x in (*self.numbers, self.layers)}
        if len(counts) != 1 or 0 in counts:
            raise ValueError(
                "a guidance schedule has one entry per level everywhere, got "
                f"{[len(x) for x in (*self.numbers, self.layers)]}"
            )
        for name, values, most in zip(
            ("levels", "scales", "perturbed_scales", "rescales"),
            self.numbers,
            (1.0, math.inf, math.inf, 1.0),
        ):
            if not all(valid(value, most) for value in values):
                raise ValueError(
                    f"{name} are finite numbers from 0 to {most:g}, got {values}"
                )
        if any(low >= high for high, low in zip(self.levels, self.levels[1:])):
            raise ValueError(f"levels fall, got {self.levels}")
        for scale, layers in zip(self.perturbed_scales, self.layers):
            integers = all(type(layer) is int and layer >= 0 for layer in layers)
            if not integers or (scale > 0 and not layers):
                raise ValueError(
                    "layers are whole numbers from 0, one or more where there is "
                    f"spatio-temporal guidance, got {self.layers}"
                )

    @property
    def numbers(self) -> tuple[tuple[float, ...], ...]:
        """Levels, scales, perturbed scales and rescales."""
        return (self.levels, self.scales, self.perturbed_scales, self.rescales)

    def changes(self, levels: Sequence[float] | None = None) -> bool:
        """Whether steps at these noise levels have different guidance; None for steps
        at all levels."""
        used = range(len(self.levels)) if levels is None else self.entries(levels)
        columns = (
            self.prompt_weights,
            self.perturbed_scales,
            self.rescales,
            self.layers,
        )
        return len({tuple(column[i] for column in columns) for i in used}) > 1

    @property
    def prompt_weights(self) -> tuple[float, ...]:
        """The weight of the prompt's output against the negative prompt's: `scales`,
        or 1 where these are smaller, which is no guidance."""
        return tuple(max(scale, 1.0) for scale in self.scales)

    @property
    def guided(self) -> bool:
        """Whether some step reads the negative prompt."""
        return max(self.scales) > 1

    @property
    def perturbed(self) -> bool:
        """Whether some step has a perturbed pass."""
        return max(self.perturbed_scales) > 0

    @property
    def flat(self) -> tuple[float, ...]:
        """All fields as one list of numbers, for a recipe."""
        layers = [x for row in self.layers for x in (len(row), *row)]
        rows = [x for row in self.numbers for x in row]
        return (float(len(self.levels)), *rows, *map(float, layers), float(self.star))

    def entry(self, level: float) -> int:
        """The index of the entry that a step at this noise level uses."""
        below = [i for i, own in enumerate(self.levels) if own <= level]
        return below[0] if below else len(self.levels) - 1

    def entries(self, levels: Sequence[float]) -> list[int]:
        """The index of the entry of each step, given the steps' noise levels."""
        return [self.entry(level) for level in levels]

    def check_depth(self, depth: int) -> None:
        """Raises a ValueError for `layers` that a transformer of this depth lacks."""
        most = max((layer for row in self.layers for layer in row), default=0)
        if most >= depth:
            raise ValueError(
                f"the transformer has layers 0 to {depth - 1}, got layers={self.layers}"
            )


def valid(value: object, most: float) -> bool:
    """Whether a value is a finite number from 0 to `most`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return 0 <= float(value) <= most and math.isfinite(float(value))
