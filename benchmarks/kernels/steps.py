"""A region step of the whole transformer beside a full one, compiled for real TPUs.

One layer stands for the step's time: embedding and head are well under a hundredth. XLA
knows no time of the library's attention, so `ratio` is that of `cycles`. The memory is
that of all layers, 75 600 tokens and guidance on one chip, with our kernels and with
the plain path (which copies a layer's keys and values, and gathers).
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.sharding import Mesh
from jaxtyping import Array

from benchmarks.kernels import aot as kernel_aot
from benchmarks.kernels.cases import GRIDS, MODELS, SHARES, Case
from benchmarks.model import aot
from chorus_jax.denoise.full_steps import Steps
from chorus_jax.denoise.region_steps import RegionSteps
from chorus_jax.denoise.regions import RegionPlan
from chorus_jax.denoise.stages import StagePlan
from chorus_jax.nets.token_attention import Alone, Context, Held, Keys, TileKeys
from chorus_jax.families.wan.block import Block
from chorus_jax.nets.kernel_attention import enabled
from chorus_jax.nets.rotary import rotary_table
from chorus_jax.schedulers import Euler

TEXT = 128
BRANCHES = 2
# Some of all combinations: a layer takes minutes to compile on one core.
SETTINGS = (
    ("1.3b", "480p", "v5p"),
    ("1.3b", "720p", "v6e"),
    ("14b", "720p", "v5p"),
    ("14b", "720p", "v6e"),
)
STEPS = {
    f"step {case.name} {generation}": (case, generation)
    for model, size, generation in SETTINGS
    for case in [Case("dit", model, size, share) for share in SHARES]
}
# Held keys and values of all layers are 28 GB at 720p: chips that can have them.
MEMORY = {
    f"memory {case.name} {kind} v5p": (case, kind == "kernels")
    for case in [Case("dit", "1.3b", "720p", share) for share in (0.25, 0.5)]
    for kind in ("kernels", "plain")
}
ROWS = [*STEPS, *MEMORY]
COLUMNS = (
    "row",
    "optimal_seconds",
    "ratio",
    "cycles",
    "temporary_mib",
    "arguments_mib",
    "fits",
)
SOLVER = Euler.spaced(6, 3.0)


def row(name: str) -> dict[str, Any]:
    """The row of this name."""
    return {"row": name, **(step(name) if name in STEPS else memory(name))}


def step(name: str) -> dict[str, Any]:
    """A layer of a region step over a layer of a full one."""
    case, generation = STEPS[name]
    part = layer(case.model, case.size, case.active, generation)
    whole = layer(case.model, case.size, None, generation)
    found = {
        **part,
        "active": case.share,
        **{f"baseline_{key}": value for key, value in whole.items()},
    }
    if part["cycles"] and whole["cycles"]:
        found["ratio"] = part["cycles"] / whole["cycles"]
    return found


@lru_cache
def layer(model: str, size: str, active: int | None, generation: str) -> dict[str, Any]:
    """What the compiler says of a layer with so many active tiles, None for all."""
    config, tiling = MODELS[model], Case("dit", model, size, 1.0).tiling
    a, d = config.heads, config.width // config.heads
    n = tiling.size * (tiling.count if active is None else active)
    low: Any = lambda *shape: jax.ShapeDtypeStruct((BRANCHES, *shape), jnp.bfloat16)
    single = lambda *shape: jax.ShapeDtypeStruct((BRANCHES, *shape), jnp.float32)
    block = nnx.eval_shape(lambda: Block(config, rngs=nnx.Rngs(0)))
    table = jax.eval_shape(lambda: rotary_table(tiling.grid, config.head_width))
    rotary = jax.ShapeDtypeStruct((2, BRANCHES, n, table.shape[-1]), table.dtype)
    text = Keys(low(TEXT, a, d), low(TEXT, a, d))
    held = low(tiling.count, tiling.size, config.width)
    ids = jax.ShapeDtypeStruct((BRANCHES, active or 1), jnp.int32)

    def run(
        block: Block,
        x: Array,
        times: Array,
        rotary: Array,
        text: Keys,
        bias: Array,
        held: TileKeys,
        ids: Array,
    ) -> tuple[Array, Keys]:
        around = Alone() if active is None else Held(held, ids)
        x, seen = block(x, times, rotary, Context(text, bias), around)
        return x, seen.keys

    operands = (
        block,
        low(n, config.width),
        single(6, config.width),
        rotary,
        text,
        single(TEXT),
        TileKeys(held, held),
        ids,
    )
    with kernel_aot.device_mesh(generation) as mesh:
        return kernel_aot.compiled(run, kernel_aot.replicated(mesh), *operands)[1]


def memory(name: str) -> dict[str, Any]:
    """Memory of two region steps of all layers, held keys and values let go of."""
    case, kernels = MEMORY[name]
    with kernel_aot.device_mesh("v5p") as mesh, enabled(kernels):
        function, operands = region_steps(case, mesh)
        place = kernel_aot.replicated(mesh)
        try:
            program, found = kernel_aot.compiled(
                function, place, *operands, donate=(3,)
            )
        except jax.errors.JaxRuntimeError as error:
            needed = re.search(r"HLO temporaries \(([\d.]+)G\)", str(error))
            if needed is None:
                raise
            return {
                "active": case.share,
                "fits": False,
                "temporary_mib": float(needed.group(1)) * 1024,
            }
    held = program.memory_analysis().argument_size_in_bytes
    kept = ("temporary_mib", "compile_seconds")
    return {
        "active": case.share,
        "fits": True,
        "arguments_mib": held / kernel_aot.MIB,
        **{key: found[key] for key in kept},
    }


def region_steps(case: Case, mesh: Mesh) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """Two region steps of a case, and abstract operands."""
    where = aot.Case(f"t2v_{case.model.replace('.', '_')}", "", 1, 1, 0)
    grid, tiling = GRIDS[case.size], case.tiling
    model, conditions, *_ = aot.arguments(where, SOLVER, mesh, grid)
    config = MODELS[case.model]
    patch = config.in_channels * config.patch[0] * config.patch[1] * config.patch[2]
    shape = (config.depth, BRANCHES, tiling.count, tiling.size, config.width)
    held: Any = jax.ShapeDtypeStruct(shape, jnp.bfloat16)
    patches = jax.ShapeDtypeStruct((1, case.active, tiling.size, patch), jnp.float32)
    tiles = jax.ShapeDtypeStruct((1, case.active), jnp.int32)
    region = RegionPlan(config.tile, case.active, 0, 0)

    def run(
        model: Any, conditions: Any, patches: Array, keys: TileKeys, tiles: Array
    ) -> tuple[Array, TileKeys | None]:
        steps = Steps(model, conditions, None, SOLVER, StagePlan(6, 1, 6))
        stage = RegionSteps(steps, region, tiling)
        carry = stage.steps(stage.begun(patches, keys), tiles, 2, 4, halo=True)
        return carry.patches, carry.keys

    return run, (model, conditions, patches, TileKeys(held, held), tiles)
