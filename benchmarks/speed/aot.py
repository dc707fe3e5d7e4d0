"""Compiles denoising steps of full-size Wan for real TPUs, on a machine without one.

    JAX_PLATFORMS=cpu python -m benchmarks.speed.aot

The model is Wan 2.1 at 480 x 832 and 81 frames (32 760 tokens), with both guidance
branches and UniPC. The TPU compiler runs for the named topology and reports the memory
of each chip. XLA's estimate of the time counts a scanned layer once, so it is left out.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from benchmarks.lib import rows
from benchmarks.lib.wan import geometry, inputs
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.devices import sharding
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.model import prepare
from chorus_jax.nets.tokens import Size
from chorus_jax.schedulers import Solver, UniPC

GRID = (21, 30, 52)
TEXT_ROWS = 128
GIB = 2**30
# Read when libtpu is loaded: compile for a topology without looking for a TPU.
ENVIRONMENT = {
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    # Nothing is run, so processes need not wait for each other.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


@dataclass(frozen=True)
class Placement:
    """A model on a topology.

    Attributes:
        model: its name.
        topology: the topology of the TPUs, such as `v5e:2x4`.
        context: the number of chips that tokens are divided over.
        tensor: the number of chips that weights are divided over.
        chip_gib: the memory of one chip in GiB.
    """

    model: str
    topology: str
    context: int
    tensor: int
    chip_gib: float


CASES = (
    Placement("t2v_1_3b", "v5e:2x4", 8, 1, 16),
    Placement("t2v_1_3b", "v6e:2x2", 4, 1, 32),
    Placement("t2v_14b", "v5p:2x2x2", 2, 4, 95),
)


def abstract(make: Callable[..., Any], mesh: Mesh, *arguments: Any) -> Any:
    """The abstract results of a function, replicated over the mesh."""
    everywhere = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=everywhere),
        jax.eval_shape(make, *arguments),
    )


def arguments(case: Placement, solver: Solver, mesh: Mesh, grid: Size = GRID) -> tuple:
    """The abstract model and conditions of a case, sharded over the mesh."""
    config = getattr(WanConfig, case.model)()
    model = nnx.eval_shape(lambda: WanDiT(config, rngs=nnx.Rngs(0)))
    model = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        model,
        sharding.shardings(model, mesh),
    )
    text = jax.ShapeDtypeStruct((2, TEXT_ROWS, config.text_width), jnp.bfloat16)
    lengths = jax.ShapeDtypeStruct((2,), jnp.int32)
    guidance = jax.ShapeDtypeStruct((1,), jnp.float32)
    conditions = abstract(
        lambda m, *x: prepare(m, *x, solver=solver, grid=grid),
        mesh,
        *(model, text, lengths, guidance),
    )
    split = sharding.spec((None, "batch", None, "heads", None))
    text_keys = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(
            x.shape, x.dtype, sharding=NamedSharding(mesh, split)
        ),
        conditions.context.text,
    )
    context = conditions.context._replace(text=text_keys)
    return model, conditions._replace(context=context)


def lowered(case: Placement, mesh: Mesh) -> Any:
    """A call of the denoising loop, lowered for a TPU."""
    solver = UniPC.spaced(50, 5.0)
    model, conditions = arguments(case, solver, mesh)
    shapes = geometry(model.config, GRID)
    program = Program(StepPlan.plain(50), solver, shapes)
    [(_, shape)] = shapes.streams
    latents = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    arrays = inputs(model, conditions)
    state = abstract(lambda *x: loop.start(*x, program=program), mesh, arrays, latents)
    until = abstract(lambda: jnp.zeros(1, jnp.int32), mesh)
    traced = loop.advance.trace(arrays, state, until, program=program)
    return traced.lower(lowering_platforms=("tpu",))


def compile_step(
    case: Placement, lower: Callable[[Placement, Mesh], Any] = lowered
) -> dict[str, Any]:
    """Compiles the denoising loop; returns a row with a chip's memory in GiB."""
    os.environ.update(ENVIRONMENT)
    topology = topologies.get_topology_desc(case.topology, platform="tpu")
    mesh = sharding.make_mesh(
        context=case.context, tensor=case.tensor, devices=topology.devices
    )
    began = time.perf_counter()
    with jax.set_mesh(mesh):
        step = lower(case, mesh)
        compiled = step.compile()
    memory = compiled.memory_analysis()
    held = memory.argument_size_in_bytes / GIB
    scratch = memory.temp_size_in_bytes / GIB
    return {
        "row": f"{case.model} {case.topology}",
        "chips": len(topology.devices),
        "mesh": f"context {case.context} x tensor {case.tensor}",
        "arguments_gib": held,
        "temporary_gib": scratch,
        "total_gib": held + scratch,
        "chip_gib": case.chip_gib,
        "kernels": step.as_text().count("tpu_custom_call"),
        "compile_seconds": time.perf_counter() - began,
    }


def main() -> None:
    """Compiles every case, prints the table, writes the rows."""
    measured = [compile_step(case) for case in CASES]
    columns = ("row", "chips", "mesh", "arguments_gib", "temporary_gib", "total_gib")
    print(rows.table(measured, (*columns, "chip_gib", "compile_seconds")))
    print(rows.save("aot", measured))


if __name__ == "__main__":
    main()
