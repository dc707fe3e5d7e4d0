"""Compiles the kernels for real TPUs on a machine without one, and estimates cycles.

`cycles` come from the compiler's own schedule: a kernel's instruction bundles, with all
branches taken, times its grid steps, plus the compiler's estimate for what XLA runs
around it, where a loop's body counts as often as the loop runs. Branches that only the
first or last block of keys takes are counted for all blocks, so it is an upper bound.
`body_cycles` is a lower bound: the longest stretch without a branch, times the grid
steps. Neither includes waits for memory, nor some of XLA's changes of layout.
"""

import math
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import topologies
from jax.experimental.layout import Format, Layout
from jax.extend.core import jaxprs_in_params
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from benchmarks.kernels.cases import MODELS, Case, functions, in_heads, shapes, split
from chorus_jax.fit.topologies import ENVIRONMENT

TOPOLOGIES = {
    "v4": "v4:2x2x1",
    "v5e": "v5e:2x2",
    "v5p": "v5p:2x2x1",
    "v6e": "v6e:2x2",
    "tpu7x": "tpu7x:2x2x1",
}
DUMP = Path(tempfile.gettempdir()) / f"kernels_{os.getpid()}"
# Flags, read when libtpu is loaded, that dump the schedule of every compiled kernel.
SCHEDULES = (
    f"--xla_jf_dump_to={DUMP} --xla_jf_dump_llo_text=true "
    "--xla_jf_dump_llo_pass_label_regex=.*final_bundles.*"
)
MIB = 2**20
UNKNOWN = 2**62  # for unknown cycles, the compiler writes 2**63 - 1
# An instruction bundle: its label, a `>` per loop around it, and its instructions. The
# outermost loop is the grid.
BUNDLE = re.compile(r"^ *(?:0x)?[0-9a-f]+ *([A-Z]{2})?: *(>*) \{(.*)", re.MULTILINE)
LOOP = re.compile(r" while\(.*condition=%([\w.-]+), body=%([\w.-]+)")
# A loop of lax counts from 0 up to a constant of its condition.
TRIPS = re.compile(r" constant\((\d+)\)(?=[\s\S]*direction=LT)")
CALL = re.compile(r"%(\S+) = .*custom_call_target=\"tpu_custom_call\"")


@contextmanager
def device_mesh(generation: str) -> Iterator[Mesh]:
    """Sets a mesh of one chip of a TPU generation as jax's mesh, and yields it."""
    os.environ.update({**ENVIRONMENT, "LIBTPU_INIT_ARGS": SCHEDULES})
    topology = topologies.get_topology_desc(TOPOLOGIES[generation], platform="tpu")
    devices: np.ndarray = np.array(topology.devices[:1]).reshape(1, 1, 1)
    mesh = Mesh(devices, ("data", "context", "tensor"), axis_types=(AxisType.Auto,) * 3)
    with jax.set_mesh(mesh):
        yield mesh


# Gives the sharding of an abstract array, perhaps with a layout.
Place = Callable[[Any], NamedSharding | Format]


def replicated(mesh: Mesh) -> Place:
    """Arrays replicated on every chip, in the compiler's own layout."""
    return lambda x: NamedSharding(mesh, PartitionSpec())


def row_major(mesh: Mesh) -> Place:
    """Arrays replicated on every chip, in row-major layout, which our kernels use.

    The compiler itself would choose another layout for tiles of 195 tokens, with less
    padding, and then copy a whole buffer of which a kernel writes a few tiles.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    return lambda x: Format(Layout(tuple(range(x.ndim))), everywhere)


def compiled(
    function: Callable[..., Any], place: Place, *operands: Any, donate: tuple = ()
) -> tuple[Any, dict[str, Any]]:
    """Compiles a function; returns the program and the compiler's figures.

    Args:
        function: the function.
        place: gives sharding and layout of operands and results.
        *operands: abstract arrays.
        donate: numbers of the operands that the program may overwrite.
    """
    operands = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place(x)), operands
    )
    results = jax.tree.map(place, jax.eval_shape(function, *operands))
    began = time.perf_counter()
    jitted = jax.jit(function, donate_argnums=donate, out_shardings=results)
    traced = jitted.trace(*operands)
    grids = kernel_grids(traced.jaxpr.jaxpr)
    program = traced.lower(lowering_platforms=("tpu",)).compile()
    seconds = time.perf_counter() - began
    text, memory = program.as_text(), program.memory_analysis()
    bundles, bodies = cycles(text, grids) or (None, None)
    shutil.rmtree(DUMP, ignore_errors=True)
    return program, {
        "cycles": bundles,
        "body_cycles": bodies,
        "vmem_mib": vmem(text) / MIB,
        "temporary_mib": memory.temp_size_in_bytes / MIB,
        "compile_seconds": seconds,
    }


def kernel_grids(jaxpr: Any) -> dict[str, int]:
    """The number of grid steps of each kernel in a program, by its name."""
    grids_by_name: dict[str, int] = {}
    for equation in jaxpr.eqns:
        if equation.primitive.name == "pallas_call":
            grid = equation.params["grid_mapping"].grid
            grids_by_name[equation.params["name"]] = math.prod(grid)
        for inner in jaxprs_in_params(equation.params):
            grids_by_name |= kernel_grids(inner)
    return grids_by_name


def cycles(text: str, grids: dict[str, int]) -> tuple[int, int] | None:
    """The `cycles` of a program and its `body_cycles` (see the module's docstring).

    None if a schedule is missing, or if the compiler does not know an operation's
    cycles.
    """
    total, bodies = 0, 0
    for part, times in computations(text):
        known = [int(x) for x in re.findall(r'"estimated_cycles":"(\d+)"', part)]
        if any(count >= UNKNOWN for count in known):
            return None
        total += times * sum(known)
        for call in CALL.findall(part):
            paths = list(DUMP.glob(f"*-{call}-??-final_bundles.txt"))
            steps = [grid for name, grid in grids.items() if call.startswith(name)]
            if not paths or len(steps) != 1:
                return None
            bundles, body = stretches(paths[0].read_text())
            total += times * bundles * steps[0]
            bodies += times * body * steps[0]
    return total, bodies


def computations(text: str) -> list[tuple[str, int]]:
    """The computations of a program, and how often each runs.

    A loop's body runs as often as the constant in its condition; others run once.
    Raises a ValueError for a loop without such a constant.
    """
    parts: dict[str, str] = {}
    for part in re.split(r"\n(?=(?:ENTRY )?%\S+ \()", text):
        head = re.match(r"(?:ENTRY )?%(\S+) \(", part)
        parts[head[1] if head else ""] = part
    times = dict.fromkeys(parts, 1)

    def enter(name: str) -> None:
        for condition, body in LOOP.findall(parts[name]):
            counts = TRIPS.findall(parts[condition])
            if len(counts) != 1:
                raise ValueError(f"loop {body}: {len(counts)} constants, expected 1")
            times[body] = times[name] * int(counts[0])
            enter(body)

    inner = {body for part in parts.values() for _, body in LOOP.findall(part)}
    for name in set(parts) - inner:
        enter(name)
    return [(part, times[name]) for name, part in parts.items()]


def stretches(schedule: str) -> tuple[int, int]:
    """The numbers of bundles in one grid step and in its longest branchless run."""
    bundles, run, longest = 0, 0, 0
    for label, depth, instructions in BUNDLE.findall(schedule):
        if depth == ">":
            bundles += 1
            run = 0 if label in ("PF", "LB") or "sbr.rel" in instructions else run + 1
            longest = max(longest, run)
    return bundles, longest


def vmem(text: str) -> int:
    """The most bytes of on-chip memory that a kernel of the program asks for."""
    lines = [line for line in text.splitlines() if CALL.search(line)]
    used = r'used_scoped_memory_configs":\[\{"memory_space":"1",[^}]*"size":"(\d+)"'
    return max((int(x) for line in lines for x in re.findall(used, line)), default=0)


def row(case: Case, generation: str) -> dict[str, Any]:
    """The row of a case on a TPU generation: our kernel compared with the plain path.

    The plain path is compiled twice in the compiler's own layouts, with heads side by
    side in one axis and with an axis of heads; the version with fewer cycles counts.
    """
    operands, heads = shapes(case), MODELS[case.model].heads
    apart = jax.eval_shape(partial(split, heads=heads), operands)
    with device_mesh(generation) as mesh:
        ours = compiled(functions(case)["ours"], row_major(mesh), *operands)[1]
        plain = functions(case)["plain"], in_heads(case)["plain"]
        others = {
            "side by side": compiled(plain[0], replicated(mesh), *operands)[1],
            "apart": compiled(plain[1], replicated(mesh), *apart)[1],
        }
    layout, other = min(others.items(), key=lambda item: item[1]["cycles"] or math.inf)
    ratio = None
    if ours["cycles"] and other["cycles"]:
        ratio = ours["cycles"] / other["cycles"]
    return {
        "row": f"{case.name} {generation}",
        "kernel": case.kernel,
        "tokens": case.tiling.count * case.tiling.size,
        "active": case.share,
        "operations": case.operations,
        **ours,
        "baseline": "splash" if case.kernel == "region" else "chunked",
        "baseline_heads": layout,
        **{f"baseline_{key}": value for key, value in other.items()},
        "ratio": ratio,
    }
