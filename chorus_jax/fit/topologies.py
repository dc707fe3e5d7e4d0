"""TPU topologies to compile for on a machine without a TPU."""

import importlib.util
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jax.experimental import topologies

GIB = 2**30
# Environment that libtpu reads when it is loaded, so that it does not look for a TPU.
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    # Nothing is run, so processes need not wait for each other.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclass(frozen=True)
class Generation:
    """A TPU generation.

    Attributes:
        gib: GiB of a device's memory that a program may use, by the compiler's count.
        layouts: the known arrangements of chips, from few to many.
        devices: the number of devices per chip, as jax counts them.
    """

    gib: float
    layouts: tuple[str, ...]
    devices: int = 1


FLAT = ("2x2", "2x4", "4x4", "4x8", "8x8")
CUBES = ("2x2x1", "2x2x2", "2x2x4", "2x4x4", "4x4x4")
# Older generations are left out: the compiler counts the two cores of their chips as
# separate devices, which is no longer how their programs run.
GENERATIONS = {
    "v5e": Generation(15.75, FLAT),
    "v5p": Generation(95.74, CUBES),
    "v6e": Generation(31.25, FLAT),
    "tpu7x": Generation(94.75, CUBES, 2),
}


@dataclass(frozen=True)
class Topology:
    """An arrangement of TPU chips.

    Attributes:
        name: generation and layout, such as `v6e:2x2`.
        generation: the generation of its chips.
    """

    name: str
    generation: Generation

    @classmethod
    def named(cls, name: str) -> "Topology":
        """The topology of this name. Raises a ValueError for an unknown name."""
        kind, _, layout = name.partition(":")
        generation = GENERATIONS.get(kind)
        if generation is None or layout not in generation.layouts:
            raise ValueError(
                f"no topology {name!r} is known: known are {', '.join(known())}"
            )
        return cls(name, generation)

    @property
    def count(self) -> int:
        """The number of devices."""
        chips = math.prod(map(int, self.name.partition(":")[2].split("x")))
        return chips * self.generation.devices

    @property
    def bytes(self) -> int:
        """Bytes of a device's memory that a program may use."""
        return round(self.generation.gib * GIB)

    @property
    def larger(self) -> tuple["Topology", ...]:
        """The topologies of the same generation with more chips."""
        kind, _, layout = self.name.partition(":")
        layouts = self.generation.layouts
        later = layouts[layouts.index(layout) + 1 :]
        return tuple(Topology(f"{kind}:{x}", self.generation) for x in later)

    def described(self) -> Sequence[Any]:
        """Descriptions of the devices, to compile for. Raises a ValueError if libtpu is
        not installed, or does not know this topology."""
        if importlib.util.find_spec("libtpu") is None:
            raise ValueError(
                "compiling for a TPU needs libtpu, which is not installed (it exists "
                "for Linux on x86-64): pip install 'jax[tpu]', or give --quick for an "
                "estimate without it"
            )
        for name, value in ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        try:
            return topologies.get_topology_desc(self.name, platform="tpu").devices
        except Exception as error:  # jax's, of a class that is not public
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"libtpu here does not compile for {self.name}: {reason}"
            ) from error


def known() -> list[str]:
    """The names of all topologies."""
    return [f"{kind}:{x}" for kind, one in GENERATIONS.items() for x in one.layouts]
