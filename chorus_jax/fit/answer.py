"""The answer: what each phase of a run needs on one chip, and whether it fits."""

from collections.abc import Mapping
from dataclasses import dataclass

from chorus_jax.fit import placing
from chorus_jax.fit.compiled import ProgramMemory
from chorus_jax.fit.run import OutlinedRun

TEXT_ENCODER = "text_encoder"
GIB = 2**30


@dataclass(frozen=True)
class Phase:
    """What is on a chip in one phase of a run, in bytes.

    Attributes:
        name: of the phase.
        weights: those of all parts that are there.
        arrays: what its program reads beside them, and what other phases will read.
        working: what its program needs while it runs, and what it leaves.
        exact: False where the compiler says no more than a lower bound.
        estimated: whether its program was not compiled.
    """

    name: str
    weights: int
    arrays: int
    working: int
    exact: bool = True
    estimated: bool = False

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.arrays + self.working


@dataclass(frozen=True)
class FitAnswer:
    """The memory of a run on one chip of a mesh.

    Attributes:
        sizes: those of the mesh's axes.
        limit: the memory of a chip in bytes.
        weights: bytes of each part's weights.
        phases: what each phase of the run needs.
    """

    sizes: Mapping[str, int]
    limit: int
    weights: Mapping[str, int]
    phases: tuple[Phase, ...]

    @property
    def peak(self) -> Phase:
        """The phase that needs most."""
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def fits(self) -> bool:
        """Whether all phases fit a chip."""
        return self.peak.total <= self.limit


def answered(
    run: OutlinedRun,
    sizes: placing.Sizes,
    limit: int,
    memory: Mapping[str, ProgramMemory],
    keep_text_encoder: bool = True,
) -> FitAnswer:
    """The answer from the memory of a run's programs.

    Args:
        run: whose programs they are.
        sizes: those of the mesh's axes.
        limit: the memory of a chip in bytes.
        memory: of each program, compiled or estimated.
        keep_text_encoder: False if its memory is given back once prompts are encoded.
    """
    parts = run.outline.parts
    weights = {name: placing.weight_bytes(x, sizes) for name, x in parts.items()}
    everything = sum(weights.values())
    transformers = sum(weights[name] for name in run.inputs.models)
    step = memory["step"]
    arrays = step.arguments - transformers
    if not step.arguments:
        read = run.inputs._replace(models={})
        arrays = placing.array_bytes((read, run.state), sizes)
    alive = {"step": arrays, "decode": arrays}
    freed = 0 if keep_text_encoder else weights[TEXT_ENCODER]
    phases = [
        Phase(
            name,
            everything - (0 if name == "text" else freed),
            alive.get(name, 0),
            one.temporary + one.outputs,
            one.compiled,
            one.estimated,
        )
        for name, one in memory.items()
    ]
    return FitAnswer(sizes, limit, weights, tuple(phases))
