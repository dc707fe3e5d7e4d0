"""Solvers of the flow: each steps latents from noise to clean along a velocity.

A solver is a frozen, hashable dataclass around a `Schedule`. `init(latents)` gives its
state, a pytree of fixed shapes; `step(i, latents, velocity, state)` gives the next
latents and state, where `i` may be traced. `Solver.spaced(steps, shift)` has the sigmas
of the same method in diffusers (or in Wan's code), `Solver(explicit(sigmas))` has the
given ones. To restart the history at a later step, call `init` again. The `step` of a
`stochastic` solver takes the step's noise as a last argument (see `Renoise`).
"""

from chorus_jax.schedulers.dpmpp import DPMpp
from chorus_jax.schedulers.euler import Euler
from chorus_jax.schedulers.flow import Schedule, explicit, listed, shift_sigmas
from chorus_jax.schedulers.renoise import Renoise
from chorus_jax.schedulers.res2s import Res2S
from chorus_jax.schedulers.unipc import UniPC
from chorus_jax.schedulers.wan_flow import FlowDPMpp, FlowUniPC

__all__ = ["SOLVERS", "DPMpp", "Euler", "Schedule", "Solver", "UniPC", "explicit"]
__all__ += [
    "FlowDPMpp",
    "FlowUniPC",
    "Renoise",
    "Res2S",
    "listed",
    "named",
    "shift_sigmas",
]

Solver = Euler | UniPC | DPMpp | Renoise | Res2S

SOLVERS: dict[str, type[Solver]] = {
    "euler": Euler,
    "unipc": UniPC,
    "dpmpp": DPMpp,
    "renoise": Renoise,
    "res_2s": Res2S,
    "wan_unipc": FlowUniPC,
    "wan_dpmpp": FlowDPMpp,
}


def named(name: str) -> type[Solver]:
    """The solver of this name, or a ValueError that lists the names."""
    if name not in SOLVERS:
        choices = ", ".join(SOLVERS)
        raise ValueError(f"no solver is named {name!r}; choose from {choices}")
    return SOLVERS[name]
