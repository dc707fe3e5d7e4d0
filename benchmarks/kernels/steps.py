"""Compares region steps of the transformer with full steps, compiled for real TPUs.

One layer represents a step's time, since embedding and head take well under a hundredth
of it. It is compiled with the attention that the library chooses (`cycles`; `ratio`
divides them by the cycles of a layer in a full step), with the region kernel
(`kernel_cycles`) and without it (`plain_cycles`): the library should choose the one
with fewer cycles. Memory is that of all layers, with 75 600 tokens and guidance on one
chip, with the region kernel and with the plain path.
"""

import re
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from benchmarks.kernels import aot as kernel_aot
from benchmarks.kernels.cases import MODELS, Case
from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.denoise.program import Program, Run
from chorus_jax.denoise.region import Region
from chorus_jax.denoise.segments import RegionSteps, segments
from chorus_jax.denoise.state import Inputs, RunState, SourceLatents
from chorus_jax.families.wan.block import Block
from chorus_jax.fit.models import planned_model
from chorus_jax.fit.run import outlined_run, with_inputs
from chorus_jax.nets.attention import ImplementationChoice
from chorus_jax.nets.kernel_choice import TEXT, enabled, region_choice
from chorus_jax.nets.rotary import rotary_table
from chorus_jax.nets.token_attention import Alone, Context, HeldKeys, Keys, TileKeys
from kernels_pallas import dispatch

WORDS = 128
BRANCHES = 2
SHARES = (0.1, 0.25, 0.5)
# A selection, since a layer takes up to minutes to compile.
SETTINGS = (
    ("1.3b", "480p", "v5e"),
    ("1.3b", "480p", "v5p"),
    ("1.3b", "480p", "v6e"),
    ("1.3b", "720p", "v5e"),
    ("1.3b", "720p", "v5p"),
    ("1.3b", "720p", "v6e"),
    ("14b", "720p", "v5p"),
    ("14b", "720p", "v6e"),
)
STEPS = {
    f"step {case.name} {generation}": (case, generation)
    for model, size, generation in SETTINGS
    for case in [Case("dit", model, size, share) for share in SHARES]
}
# Only for a chip with room for 28 GB: the held keys and values of all layers at 720p.
MEMORY = {
    f"memory {case.name} {kind} v5p": (case, kind == "kernels")
    for case in [Case("dit", "1.3b", "720p", share) for share in (0.25, 0.5)]
    for kind in ("kernels", "plain")
}
ROWS = [*STEPS, *MEMORY]
COLUMNS = (
    "row",
    "ratio",
    "cycles",
    "kernel_cycles",
    "plain_cycles",
    "region",
    "temporary_mib",
    "arguments_mib",
    "fits",
)
# Height and width in pixels.
PIXELS = {"480p": (480, 832), "720p": (720, 1280)}


def row(name: str) -> dict[str, Any]:
    """Measures the row of a name in `ROWS`."""
    return {"row": name, **(step(name) if name in STEPS else memory(name))}


def step(name: str) -> dict[str, Any]:
    """The figures of a layer in a region step, and as `baseline_*` in a full step."""
    case, generation = STEPS[name]
    choice = chosen(case, generation)
    of_layer = partial(layer, case.model, case.size)
    kernel, plain = (of_layer(case.active, generation, x) for x in (True, False))
    part = plain if choice.name is None else kernel
    all_tokens = of_layer(None, generation)
    figures = {
        **part,
        "active": case.share,
        "region": choice.name or "plain",
        "reason": choice.reason,
        "kernel_cycles": kernel["cycles"],
        "plain_cycles": plain["cycles"],
        "plain_temporary_mib": plain["temporary_mib"],
        **{f"baseline_{key}": value for key, value in all_tokens.items()},
    }
    if part["cycles"] and all_tokens["cycles"]:
        figures["ratio"] = part["cycles"] / all_tokens["cycles"]
    return figures


def chosen(case: Case, generation: str) -> ImplementationChoice:
    """The implementation that the library chooses for a region of this case."""
    config, tiling = MODELS[case.model], case.tiling
    heads = (config.heads, config.head_width)
    shape = lambda k: (BRANCHES, k, tiling.size, *heads)
    query, key = (
        jax.ShapeDtypeStruct(shape(k), jnp.bfloat16)
        for k in (case.active, tiling.count)
    )
    with kernel_aot.device_mesh(generation):
        return region_choice(query, key)


def taken(kernel: bool) -> Any:
    """A context manager in which the region kernel is forced, or not used."""
    return dispatch.forced("tpu") if kernel else enabled((TEXT,))


@lru_cache
def layer(
    model: str, size: str, active: int | None, generation: str, kernel: bool = False
) -> dict[str, Any]:
    """The compiler's figures of a layer, for two guidance branches.

    Args:
        model: a name in `MODELS`.
        size: a name in `GRIDS`.
        active: the number of active tiles in a region step; None for a full step.
        generation: the TPU generation.
        kernel: whether the region kernel is used.
    """
    config, tiling = MODELS[model], Case("dit", model, size, 1.0).tiling
    a, d = config.heads, config.width // config.heads
    n = tiling.size * (tiling.count if active is None else active)
    low: Any = lambda *shape: jax.ShapeDtypeStruct((BRANCHES, *shape), jnp.bfloat16)
    single = lambda *shape: jax.ShapeDtypeStruct((BRANCHES, *shape), jnp.float32)
    block = nnx.eval_shape(lambda: Block(config, rngs=nnx.Rngs(0)))
    table = jax.eval_shape(lambda: rotary_table(tiling.grid, config.head_width))
    rotary = jax.ShapeDtypeStruct((2, BRANCHES, n, table.shape[-1]), table.dtype)
    text = Keys(low(WORDS, a, d), low(WORDS, a, d))
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
    ) -> tuple[Array, Keys | TileKeys | None]:
        attended = Alone() if active is None else HeldKeys(held, ids)
        x, seen = block(x, times, rotary, Context(text, bias), attended)
        return x, seen.keys

    operands = (
        block,
        low(n, config.width),
        single(6, config.width),
        rotary,
        text,
        single(WORDS),
        TileKeys(held, held, a),
        ids,
    )
    with kernel_aot.device_mesh(generation) as mesh, taken(kernel):
        return kernel_aot.compiled(run, kernel_aot.replicated(mesh), *operands)[1]


def memory(name: str) -> dict[str, Any]:
    """The memory of two region steps of all layers, with their state donated."""
    case, kernels = MEMORY[name]
    with kernel_aot.device_mesh("v5p") as mesh, taken(kernels):
        function, operands = region_steps(case)
        place = kernel_aot.replicated(mesh)
        try:
            program, figures = kernel_aot.compiled(
                function, place, *operands, donate=(1,)
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
    columns = ("temporary_mib", "compile_seconds")
    return {
        "active": case.share,
        "fits": True,
        "arguments_mib": held / kernel_aot.MIB,
        **{key: figures[key] for key in columns},
    }


def region_steps(case: Case) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """A function that runs two region steps of a case, and its abstract operands."""
    model = planned_model(f"Wan 2.1 T2V-{case.model.upper()}")
    height, width = PIXELS[case.size]
    request = model.defaults.request.changed(
        height=height, width=width, steps=6, solver="euler", shift=3.0
    )
    miss = outlined_run(model.outline, with_inputs(request, model.outline, False))
    geometry, latents = miss.program.geometry, miss.latents
    plan = StepPlan.staged(6, 1, 6, Region(geometry.tile, case.active, reach=0))
    program, stage = Program(plan, miss.program.solver, geometry), segments(plan)[-1]
    assert isinstance(stage, RegionSteps)
    source = SourceLatents(latents, latents, latents)
    inputs = miss.inputs._replace(source=source)
    state = jax.eval_shape(lambda *x: loop.start(*x, program=program), inputs, latents)

    def run(inputs: Inputs, state: RunState) -> RunState:
        steps = lambda _, state: stage.step(Run(program, inputs), state)
        return jax.lax.fori_loop(0, 2, steps, state)

    return run, (inputs, state)
