"""Compiles denoising steps of full-size models for real TPUs, on a machine without one.

    JAX_PLATFORMS=cpu python -m benchmarks.speed.aot [--missing] [--rows WORD ...]

Published variants are compiled at their own size, with all branches of guidance, for
topologies that fit them. Rows have the memory per chip according to the TPU compiler,
and the estimate of `chorus fit --quick`. XLA's estimate of the time counts a scanned
layer once, so it is not reported. `--rows` selects the rows whose name has all these
words, `--missing` those that have no row yet; a row is written as soon as its step is
compiled.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from benchmarks.lib import rows
from chorus_jax.families.forward import TRANSFORMER
from chorus_jax.fit.answering import Question, compiled_memory
from chorus_jax.fit.estimate import LargestOperations, estimated
from chorus_jax.fit.models import planned_model
from chorus_jax.fit.placing import Sizes, abstract_mesh
from chorus_jax.fit.run import OutlinedRun, ReuseOptions
from chorus_jax.fit.topologies import Topology
from chorus_jax.intra_request import registry
from chorus_jax.nets.context_parallel import split_of

GIB = 2**30


@dataclass(frozen=True)
class Placement:
    """A model to compile for a TPU topology.

    Attributes:
        model: the model's published name.
        topology: the TPU topology, such as `v5e:2x4`.
        context: the size of the mesh's axis `context`, which splits the tokens.
        tensor: the size of the mesh's axis `tensor`, which splits the weights.
        reuse: an option that changes memory: `tokens NAME`, `cache NAME` or `active
            SHARE`; "" for a plain run.
        size: height, width and frames; None for the model's default.
        ring: the size of the mesh's axis `ring`, which splits the tokens too.
    """

    model: str
    topology: str
    context: int
    tensor: int
    reuse: str = ""
    size: tuple[int, int, int] | None = None
    ring: int = 1

    @property
    def sizes(self) -> dict[str, int]:
        """The sizes of the mesh's axes."""
        ring = {"ring": self.ring} if self.ring > 1 else {}
        return {"data": 1, **ring, "context": self.context, "tensor": self.tensor}

    @property
    def name(self) -> str:
        """The row's name."""
        size = "x".join(map(str, self.size)) if self.size else ""
        words = (self.model, size, self.topology, self.reuse)
        return " ".join(word for word in words if word)

    def question(self) -> Question:
        """The question to `chorus_jax.fit`: does a denoising step fit in memory?"""
        model = planned_model(self.model)
        kind, _, value = self.reuse.partition(" ")
        names = ("height", "width", "frames")
        fields: dict[str, Any] = dict(zip(names, self.size or ()))
        if kind == "tokens":
            fields["tokens"] = value
        reuse = ReuseOptions()
        if kind == "cache":
            reuse = ReuseOptions(cache=registry.parse(value))
        if kind == "active":
            reuse = ReuseOptions(active=float(value))
        return Question(
            model.outline,
            model.defaults.request.changed(**fields),
            Topology.named(self.topology),
            reuse,
            sizes=self.sizes,
        )


CASES = (
    Placement("Wan 2.1 T2V-1.3B", "v5e:2x4", 8, 1),
    Placement("Wan 2.1 T2V-1.3B", "v6e:2x2", 4, 1),
    Placement("Wan 2.1 T2V-1.3B", "v6e:2x4", 4, 1, ring=2),
    Placement("Wan 2.1 T2V-1.3B", "v6e:2x2", 4, 1, "active 0.25"),
    Placement("Wan 2.1 T2V-1.3B", "v6e:2x2", 4, 1, "cache pab"),
    Placement("Wan 2.1 T2V-14B", "v5p:2x2x2", 2, 4),
    Placement("Wan 2.1 T2V-14B", "v6e:2x4", 2, 4),
    Placement("Wan 2.1 I2V-14B-480P", "v6e:2x4", 2, 4),
    Placement("Wan 2.1 I2V-14B-720P", "v5p:2x2x2", 2, 4),
    Placement("Wan 2.1 FLF2V-14B-720P", "v6e:2x4", 2, 4),
    Placement("Wan 2.2 T2V-A14B", "v5p:2x2x2", 2, 4),
    Placement("Wan 2.2 T2V-A14B", "v6e:2x4", 2, 4),
    Placement("Wan 2.2 I2V-A14B", "v5p:2x2x2", 2, 4),
    Placement("Wan 2.2 TI2V-5B", "v6e:2x2", 4, 1),
    Placement("LTX-Video 2B 0.9.1", "v5e:2x2", 4, 1),
    Placement("LTX-Video 13B 0.9.8-dev", "v6e:2x4", 2, 4),
    Placement("LTX-2 19B dev", "v6e:2x4", 4, 2),
    Placement("LTX-2 19B dev", "v5p:2x2x1", 2, 2),
)


def compile_step(case: Placement) -> dict[str, Any]:
    """Compiles the denoising step; returns a row of the memory per chip, in GiB."""
    question = case.question()
    assert question.sizes is not None
    devices = question.topology.described()
    run, memory = compiled_memory(question, ("step",), question.sizes, devices)
    step = memory["step"]
    # The largest operations of other programs do not matter for a step.
    quick = estimated(run, question.sizes, LargestOperations(0, 0, 0))["step"]
    return {
        "row": case.name,
        "chips": question.topology.count,
        "mesh": " x ".join(f"{k} {n}" for k, n in case.sizes.items() if k != "data"),
        "attention": attention_of(run, question.sizes),
        "size": "{0.height}x{0.width}x{0.frames}".format(run.request),
        "fits": step.compiled and step.total <= question.topology.bytes,
        "arguments_gib": step.arguments / GIB,
        "temporary_gib": (step.temporary + step.outputs) / GIB,
        "total_gib": step.total / GIB,
        "estimate_gib": quick.total / GIB,
        "chip_gib": question.topology.generation.gib,
        "kernels": step.kernels,
        "compile_seconds": step.seconds,
    }


def attention_of(run: OutlinedRun, sizes: Sizes) -> str:
    """A description of how attention is split over the mesh."""
    transformer: Any = run.outline.parts[TRANSFORMER]
    mesh = abstract_mesh(sizes)
    return split_of(mesh, transformer.config.heads).words(mesh)


def compile_rows(benchmark: str, cases: Sequence[Placement], about: str | None) -> None:
    """Compiles the cases that the command line selects; writes and prints a row each.

    Args:
        benchmark: the name of the results file.
        cases: the cases to select from.
        about: the description of the command.
    """
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="*", default=[])
    parser.add_argument("--missing", action="store_true")
    options = parser.parse_args()
    rows.commit()  # rows need it: better to fail here than after a compilation
    there = {row["row"] for row in rows.load(benchmark)} if options.missing else set()
    chosen = [
        case
        for case in cases
        if all(word in case.name for word in options.rows) and case.name not in there
    ]
    made = []
    for case in tqdm(chosen, desc=benchmark, leave=False):
        made.append(compile_step(case))
        rows.update(benchmark, made[-1:])
    columns = ("row", "chips", "mesh", "arguments_gib", "temporary_gib", "total_gib")
    print(rows.table(made, (*columns, "estimate_gib", "chip_gib", "compile_seconds")))


if __name__ == "__main__":
    compile_rows("aot", CASES, __doc__)
