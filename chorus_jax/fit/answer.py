"""Memory of a run on one chip, phase by phase, and whether it fits."""

from collections.abc import Mapping
from dataclasses import dataclass

from chorus_jax.fit import placing
from chorus_jax.fit.compiled import ProgramMemory
from chorus_jax.fit.run import OutlinedRun

TEXT_ENCODER = "text_encoder"
GIB = 2**30


@dataclass(frozen=True)
class Phase:
    """Memory on a chip in one phase of a run, in bytes.

    Attributes:
        name: the name of the phase's program.
        weights: bytes of the weights of all parts that are loaded.
        arrays: bytes of the run's arrays (conditions, latents and other state), which
            are counted in denoising and decoding.
        working: bytes of the program's temporaries and outputs.
        exact: False if the compiler gave no more than a lower bound.
        estimated: True if the program was not compiled.
    """

    name: str
    weights: int
    arrays: int
    working: int
    exact: bool = True
    estimated: bool = False

    @property
    def total(self) -> int:
        """Bytes in all."""
        return self.weights + self.arrays + self.working


@dataclass(frozen=True)
class FitAnswer:
    """The memory of a run on one chip of a mesh.

    Attributes:
        sizes: the sizes of the mesh's axes.
        limit: the memory of a chip in bytes.
        weights: the bytes of each part's weights on a chip.
        phases: the memory of each phase of the run.
    """

    sizes: Mapping[str, int]
    limit: int
    weights: Mapping[str, int]
    phases: tuple[Phase, ...]

    @property
    def peak(self) -> Phase:
        """The phase that needs the most memory."""
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
    """Builds the answer from the memory of a run's programs.

    Args:
        run: the run.
        sizes: the sizes of the mesh's axes.
        limit: the memory of a chip in bytes.
        memory: the memory of each program by name, compiled or estimated.
        keep_text_encoder: False if the text encoder's memory is freed once prompts are
            encoded.
    """
    parts = run.outline.parts
    weights = {name: placing.weight_bytes(x, sizes) for name, x in parts.items()}
    idle = run.inputs.models.keys() - set(run.resident)
    weights |= dict.fromkeys(idle, 0)  # in the host's memory
    everything = sum(weights.values())
    transformers = sum(weights[name] for name in run.inputs.models)
    step = memory["step"]
    arrays = step.arguments - transformers
    if not step.arguments:
        arrays = run.bytes_over(sizes)[0]
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
