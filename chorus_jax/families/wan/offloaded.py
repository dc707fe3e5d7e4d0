"""Wan 2.2's two experts with the idle one in the host's memory.

Both are kept in the host's memory, and the one that runs is copied to the devices. So
the devices hold one expert instead of two, at the price of one copy at the start of
each run and one at the boundary.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax

from chorus_jax.devices.memory import DEVICE_MEMORY
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.experts import HIGH, LOW
from chorus_jax.families.wan.model import WanModel, prepare

EXPERTS = (HIGH, LOW)


class ResidentExpert:
    """The expert that is on the devices; the others are only in the host's memory.

    Args:
        experts: the experts by name, in the host's memory.
    """

    def __init__(self, experts: Mapping[str, WanDiT]):
        self.experts = experts
        self.name: str | None = None
        self.copy: WanDiT | None = None

    def __call__(self, name: str) -> WanDiT:
        """The named expert on the devices. The copy of another one is dropped first, so
        the caller must keep no reference to it, and no program that reads it may still
        run."""
        if self.copy is None or name != self.name:
            self.copy = None
            self.copy = on_devices(self.experts[name])
            self.name = name
        return self.copy


class OffloadedWanModel(WanModel):
    """A Wan model with two experts, one of which is on the devices at a time (see
    `protocols.OffloadingModel`)."""

    on_host = EXPERTS

    def __init__(self, *parts: Any, **settings: Any):
        super().__init__(*parts, **settings)
        self.resident = ResidentExpert(self.transformers)

    def prepared(self, transformer: WanDiT, *given: Any, **shapes: Any) -> Any:
        """See `WanModel.prepared`; copies only the weights that conditions are made
        with."""
        return prepared(transformer, given, **shapes)


@partial(jax.jit, static_argnames=("solver", "grid", "first_given"))
def prepared(transformer: WanDiT, given: tuple[Any, ...], **shapes: Any) -> Any:
    """`prepare` with the weights of a transformer in the host's memory."""
    # Copies of weights that `prepare` does not read are left out of the program.
    return prepare(
        jax.device_put(transformer, jax.memory.Space.Device), *given, **shapes
    )


def on_devices(module: WanDiT) -> WanDiT:
    """A module in the host's memory, copied to its devices."""
    where = jax.tree.map(lambda x: x.sharding.with_memory_kind(DEVICE_MEMORY), module)
    return jax.device_put(module, where)
