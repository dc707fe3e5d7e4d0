"""Answers whether a run fits a TPU: by compiling its programs, or by an estimate."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import jax

from chorus_jax.devices import sharding
from chorus_jax.families.outlines import Outline
from chorus_jax.families.protocols import DEVICES, LoadOptions
from chorus_jax.fit.answer import FitAnswer, answered
from chorus_jax.fit.compiled import ProgramMemory, compile_program, programs
from chorus_jax.fit.estimate import LargestOperations, estimated
from chorus_jax.fit.meshes import best
from chorus_jax.fit.placing import Sizes, token_split
from chorus_jax.fit.run import OutlinedRun, ReuseOptions, outlined_run, with_inputs
from chorus_jax.fit.topologies import Topology
from chorus_jax.request import Request

# Programs compiled by default, and all programs; the decoder takes minutes.
PROGRAMS = ("text", "step")
ALL = ("text", "conditions", "step", "decode")


@dataclass(frozen=True, eq=False)
class Question:
    """A run on a topology.

    Attributes:
        outline: the model without weights.
        request: the request.
        topology: the arrangement of TPU chips.
        reuse: options of reuse that change the run's memory.
        keep_text_encoder: False if the text encoder's memory is freed once prompts are
            encoded.
        image: whether the video begins with an image.
        sizes: the sizes of the mesh's axes; None for the mesh that needs the least
            memory.
        idle_expert: where the weights of an expert that does not run are (see
            `LoadOptions`).
    """

    outline: Outline
    request: Request
    topology: Topology
    reuse: ReuseOptions = ReuseOptions()
    keep_text_encoder: bool = True
    image: bool = False
    sizes: Sizes | None = None
    idle_expert: str = DEVICES

    @property
    def request_with_image(self) -> Request:
        """The request with a seed, and with a stand-in image if it needs one."""
        return with_inputs(self.request, self.outline, self.image)

    def run(self, options: LoadOptions = LoadOptions(), split: int = 1) -> OutlinedRun:
        """The run as shapes (see `outlined_run`)."""
        options = replace(options, idle_expert=self.idle_expert)
        request = self.request_with_image
        return outlined_run(self.outline, request, self.reuse, options, split)

    def mesh_sizes(self) -> Sizes:
        """The sizes of the wanted mesh, or else of the mesh that needs least memory.

        Raises a ValueError unless they use all devices.
        """
        if self.sizes is None:
            return best(self.run(), self.topology, self.keep_text_encoder).sizes
        count = 1
        for size in self.sizes.values():
            count *= size
        if count != self.topology.count:
            raise ValueError(
                f"--mesh has {count} devices, but {self.topology.name} has "
                f"{self.topology.count}"
            )
        return self.sizes


def quick_answer(question: Question) -> FitAnswer:
    """The answer by an estimate; compiles nothing, and needs no libtpu."""
    sizes = question.mesh_sizes()
    run = question.run(split=token_split(sizes))
    memory = estimated(run, sizes, LargestOperations.of(run))
    return answered(
        run, sizes, question.topology.bytes, memory, question.keep_text_encoder
    )


def compiled_answer(question: Question, names: Iterable[str] = PROGRAMS) -> FitAnswer:
    """The answer by compiling the named programs; other programs are estimated.

    Raises:
        ValueError: if libtpu is not installed, or the mesh does not divide the run.
    """
    devices, sizes = question.topology.described(), question.mesh_sizes()
    run, compiled = compiled_memory(question, names, sizes, devices)
    memory = estimated(run, sizes, LargestOperations.of(run)) | compiled
    return answered(
        run, sizes, question.topology.bytes, memory, question.keep_text_encoder
    )


def compiled_memory(
    question: Question, names: Iterable[str], sizes: Sizes, devices: Sequence
) -> tuple[OutlinedRun, dict[str, ProgramMemory]]:
    """Compiles the named programs of a run; returns the run and their memory."""
    mesh = sharding.make_mesh(**sizes, devices=devices)
    with jax.set_mesh(mesh):
        run = question.run(LoadOptions(mesh=mesh), token_split(sizes))
        run.model(run.outline.parts).check_mesh(run.request, 1)
        made = programs(run, mesh)
    return run, {name: compile_program(made[name], mesh) for name in names}
