"""Spatio-temporal guidance (arXiv 2411.18664), as a request asks for it."""

import math
from dataclasses import dataclass
from numbers import Real


@dataclass(frozen=True)
class SpatioTemporalGuidance:
    """Guidance away from a video that is made with some attention left out.

    It takes one more pass in each step.

    Attributes:
        layers: those of the transformer whose tokens see only themselves in that pass.
        scale: the weight of the difference, above 0.
        rescale: how much of the deviation of the guided output is brought back to that
            of the prompt's own, 0 to 1.

    Raises:
        ValueError: for other values.
    """

    layers: tuple[int, ...]
    scale: float = 1.0
    rescale: float = 0.7

    def __post_init__(self) -> None:
        valid = all(type(layer) is int and layer >= 0 for layer in self.layers)
        if not self.layers or not valid:
            raise ValueError(
                f"layers are one or more whole numbers from 0, got {self.layers!r}"
            )
        for name, most in (("scale", math.inf), ("rescale", 1.0)):
            value = getattr(self, name)
            if not isinstance(value, Real) or not 0 <= float(value) <= most:
                raise ValueError(f"{name} is from 0 to {most:g}, got {value!r}")
        if not 0 < self.scale < math.inf:
            raise ValueError(
                f"scale must be finite and above 0, got {self.scale}: leave "
                "spatio-temporal guidance out for none"
            )

    def check_depth(self, depth: int) -> None:
        """ValueError for layers that a transformer of `depth` layers has not."""
        if max(self.layers) >= depth:
            raise ValueError(
                f"the transformer has layers 0 to {depth - 1}, got layers={self.layers}"
            )
