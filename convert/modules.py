"""Loads modules directly from safetensors, without a checkpoint, for comparisons."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx

from chorus_jax.checkpoints import abstract, names
from convert.plan import make_plan, raise_problems
from convert.rules import Alias, Rule
from convert.tensors import by_name, read_safetensors

M = TypeVar("M", bound=nnx.Module)


def module_from(
    files: Sequence[Path],
    rules: Sequence[Rule | Alias],
    model: Callable[..., M],
    config: Any,
) -> M:
    """The module `model(config, rngs=...)` filled from safetensors files.

    All arrays are read into memory completely.

    Args:
        files: the safetensors files.
        rules: the table of names.
        model: the class of the module.
        config: the module's config.

    Raises:
        ValueError: if tensors and parameters do not match, listing the mismatches.
    """
    module = abstract(model, config)
    targets = names(module)
    tensors = by_name([tensor for file in files for tensor in read_safetensors(file)])
    plan = make_plan(model.__name__, rules, tensors, targets)
    raise_problems(plan.problems)
    # Copies, because on a CPU the arrays would share memory with the buffers read.
    leaves = [
        jnp.array(plan.fills[name].read((slice(None),) * len(x.shape)))
        for name, x in targets.items()
    ]
    return jax.tree.unflatten(jax.tree.structure(module), leaves)
