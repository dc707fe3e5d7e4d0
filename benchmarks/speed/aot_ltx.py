"""Denoising steps of full-size LTX-Video compiled for real TPUs, without one.

    JAX_PLATFORMS=cpu python -m benchmarks.speed.aot_ltx

At the makers' 704 x 1216 and 121 frames (13 376 tokens): with a first image, whose
tokens have a timestep of their own, both guidance branches and the perturbed one.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding

from benchmarks.lib import rows
from benchmarks.speed.aot import Placement, abstract, compile_step
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program
from chorus_jax.denoise.state import Inputs
from chorus_jax.devices import sharding
from chorus_jax.families.forward import TRANSFORMER, Geometry
from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.given_frames import FrameLayout
from chorus_jax.families.ltx.positions import PixelScale
from chorus_jax.families.ltx.preparing import prepare
from chorus_jax.families.ltx.schedule import LinearQuadratic
from chorus_jax.nets.guidance import Perturbation
from chorus_jax.nets.tokens import Size, Tiling
from chorus_jax.schedulers import Euler, Schedule

GRID: Size = (16, 22, 38)
TEXT_ROWS, STEPS = 256, 40
FIRST_IMAGE = FrameLayout(((0, 1, 1.0),), 8)

CASES = (
    Placement("b2", "v5e:2x2", 4, 1, 16),
    Placement("b2", "v6e:2x2", 4, 1, 32),
    Placement("b13", "v6e:2x4", 4, 2, 32),
)


def lowered(case: Placement, mesh: Mesh) -> Any:
    """A call of the denoising loop, lowered for a TPU."""
    config: LTXConfig = getattr(LTXConfig, case.model)()
    model = nnx.eval_shape(lambda: LTXDiT(config, rngs=nnx.Rngs(0)))
    model = jax.tree.map(
        lambda x, s: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=s),
        model,
        sharding.shardings(model, mesh),
    )
    levels = LinearQuadratic().sigmas(STEPS, 0)
    solver = Euler(Schedule.of(levels, levels * np.float32(1000)))
    text = jax.ShapeDtypeStruct((2, TEXT_ROWS, config.text_width), jnp.bfloat16)
    lengths = jax.ShapeDtypeStruct((2,), jnp.int32)
    scale: Any = jax.ShapeDtypeStruct((1,), jnp.float32)
    layers: Any = jax.ShapeDtypeStruct((config.depth,), jnp.bool_)
    options = dict(solver=solver, grid=GRID, layout=FIRST_IMAGE)
    options["scale"] = PixelScale(8, 32, 30.0, config.causal_positions)
    conditions = abstract(
        lambda m, *x: prepare(m, *x, **options),
        mesh,
        *(model, text, lengths, scale, Perturbation(scale, scale, layers)),
    )
    split = NamedSharding(mesh, sharding.spec((None, None, None, "heads", None)))
    keys = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=split),
        conditions.context.text,
    )
    conditions = conditions._replace(context=conditions.context._replace(text=keys))
    shape = (*GRID, config.in_channels)
    tile = Tiling.fitting(GRID, config.tile).tile
    geometry = Geometry((("video", shape),), GRID, config.patch, tile)
    program = Program(StepPlan.plain(STEPS), solver, geometry)
    arrays = Inputs({TRANSFORMER: model}, {TRANSFORMER: conditions})
    latents = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    state = abstract(lambda *x: loop.start(*x, program=program), mesh, arrays, latents)
    until = abstract(lambda: jnp.zeros(1, jnp.int32), mesh)
    traced = loop.advance.trace(arrays, state, until, program=program)
    return traced.lower(lowering_platforms=("tpu",))


def main() -> None:
    """Compiles every case, prints the table, writes the rows."""
    measured = [compile_step(case, lowered) for case in CASES]
    columns = ("row", "chips", "mesh", "arguments_gib", "temporary_gib", "total_gib")
    print(rows.table(measured, (*columns, "chip_gib", "compile_seconds")))
    print(rows.save("aot_ltx", measured))


if __name__ == "__main__":
    main()
