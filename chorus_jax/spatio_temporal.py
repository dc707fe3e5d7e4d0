"""Settings of spatio-temporal guidance (arXiv 2411.18664)."""

import math
from dataclasses import dataclass
from numbers import Real


@dataclass(frozen=True)
class SpatioTemporalGuidance:
    """Guidance away from a perturbed pass, in which some layers have no attention.

    The perturbed pass is one more forward pass per step.

    Attributes:
        layers: the layers in which tokens attend only to themselves in the perturbed
            pass.
        scale: the weight of the difference to the perturbed pass, above 0.
        rescale: how far the standard deviation of the guided output is rescaled to that
            of the prompt's output: 0 for not at all, 1 for fully.

    Raises:
        ValueError: for no layers, or values of a wrong type or out of range.
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
        """Raises a ValueError for `layers` that a transformer of this depth lacks."""
        if max(self.layers) >= depth:
            raise ValueError(
                f"the transformer has layers 0 to {depth - 1}, got layers={self.layers}"
            )
