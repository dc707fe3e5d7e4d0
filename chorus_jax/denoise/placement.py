"""The split of a denoising run's state over the devices of a mesh.

Held keys are split by heads or tiles (`TileKeys`). In the states of step caches the
arrays of tokens are split as the tokens of a pass are: rows over `data`, tokens over
the axes that split tokens. Latents and all other arrays are small and are replicated.
"""

from typing import Any

import jax
from jax.sharding import PartitionSpec

from chorus_jax.denoise.program import Program, Run
from chorus_jax.denoise.state import Inputs, RegionState, RunState
from chorus_jax.devices import sharding
from chorus_jax.nets.tile_keys import TileKeys

Shape = tuple[int, ...]


def placed(program: Program, inputs: Inputs, state: RunState) -> RunState:
    """The state, constrained to its partitions over the mesh in `jax.set_mesh`;
    unchanged without a mesh."""
    if jax.sharding.get_abstract_mesh().empty:
        return state
    where = partitions(program, inputs, state)
    return jax.tree.map(jax.lax.with_sharding_constraint, state, where)


def partitions(program: Program, inputs: Inputs, state: RunState) -> RunState:
    """A PartitionSpec for each array of a state, over the mesh in `jax.set_mesh`.

    Args:
        program: the static part of the run.
        inputs: the arrays that the run reads; shapes are enough.
        state: the state; shapes are enough.
    """
    tokens = token_shapes(program, inputs, state)
    everywhere = lambda tree: jax.tree.map(lambda _: PartitionSpec(), tree)
    caches = jax.tree.map(lambda x: cache_partition(x.shape, tokens), state.caches)
    held = lambda x: isinstance(x, TileKeys)
    # A family may hold keys of its own kind, which are replicated.
    spec = lambda x: x.partitions() if held(x) else PartitionSpec()
    keys = jax.tree.map(spec, state.keys, is_leaf=held)
    others = everywhere(state._replace(caches=(), keys=(), region=None))
    return others._replace(
        caches=caches, keys=keys, region=region_partitions(state.region, tokens)
    )


def region_partitions(region: RegionState | None, tokens: frozenset[Shape]) -> Any:
    """`partitions` of the region's state."""

    def leaf(path: tuple, x: Any) -> PartitionSpec:
        ours = any(getattr(key, "name", None) == "cache" for key in path)
        return cache_partition(x.shape, tokens) if ours else PartitionSpec()

    return jax.tree_util.tree_map_with_path(leaf, region)


def token_shapes(program: Program, inputs: Inputs, state: RunState) -> frozenset[Shape]:
    """The shapes [r n c] of the tokens in the run's passes, of each stream, expert and
    stretch of region steps."""

    def stem(expert: str, inputs: Inputs, latents: Any, step: Any) -> Any:
        return Run(program, inputs).forward(expert, latents, step).stem()

    shapes: set[Shape] = set()
    for expert in {x.expert for x in program.plan.stretches} & inputs.models.keys():
        passed = inputs, state.latents, state.step
        tokens = jax.eval_shape(lambda *x: stem(expert, *x), *passed)
        shapes |= {x.shape for x in jax.tree.leaves(tokens)}
    geometry, parts = program.geometry, () if state.region is None else state.region
    for part in parts and parts.parts:
        _, k, s, _ = geometry.named(part.latents)[geometry.video].shape
        shapes |= {(rows, k * s, width) for rows, _, width in tuple(shapes)}
    return frozenset(shapes)


def cache_partition(shape: Shape, tokens: frozenset[Shape]) -> PartitionSpec:
    """The partition of an array in a step cache's state.

    If its last three axes have the shape of tokens and divide over the mesh, it is
    split as tokens are; otherwise it is replicated.

    Args:
        shape: the array's shape; leading axes (layers) are not split.
        tokens: the shapes of the tokens of all passes.
    """
    if shape[-3:] not in tokens:
        return PartitionSpec()
    mesh = jax.sharding.get_abstract_mesh()
    rows, count = shape[-3:-1]
    if rows % mesh.shape["data"] or count % sharding.token_split(mesh):
        return PartitionSpec()
    before = (None,) * (len(shape) - 3)
    return PartitionSpec(*before, *sharding.spec(("batch", "tokens", None)))
