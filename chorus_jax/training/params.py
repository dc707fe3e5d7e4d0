"""Parameters in training: float32 arrays by name, apart from the modules that use them.

Names are `part.path`, as in `transformer.layers.attn.q.kernel`. For a forward pass, a
module is assembled from them in the dtype of its config.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from chorus_jax.checkpoints import abstract, check_same, names

Params = dict[str, Array]
Modules = Mapping[str, nnx.Module]


def random_params(make: Callable[[nnx.Rngs], nnx.Module], seed: int) -> Params:
    """The parameters, in float32, of a module made from random numbers."""

    @jax.jit
    def initial() -> Params:
        # This generator compiles several times as fast as the default one.
        module = make(nnx.Rngs(jax.random.key(seed, impl="rbg")))
        return {k: x.astype(jnp.float32) for k, x in names(module).items()}

    return initial()


def named_part(part: str, params: Mapping[str, Array]) -> Params:
    """The parameters of one part, with the part's name before theirs."""
    return {f"{part}.{name}": x for name, x in params.items()}


def of_part(part: str, params: Mapping[str, Array]) -> Params:
    """The parameters of one part, selected from the parameters of several parts."""
    return {k: x for k, x in params.items() if k.startswith(f"{part}.")}


def abstract_part(model: type[nnx.Module], config: Any) -> nnx.Module:
    """A module made from its config, with shapes in place of arrays (see
    `assembled`)."""
    return abstract(model, config)


def assembled(part: str, params: Mapping[str, Array], like: nnx.Module) -> Any:
    """The module `like` with the parameters of `part`, cast to its dtypes.

    Raises a ValueError if names or shapes are not the module's.
    """
    start, targets = f"{part}.", names(like)
    own = {k.removeprefix(start): x for k, x in params.items() if k.startswith(start)}
    check_same(own, targets, Path(part))
    leaves = [own[name].astype(x.dtype) for name, x in targets.items()]
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def scaled(params: Params, factors: Mapping[str, float]) -> Params:
    """The parameters, multiplied by the factor whose key their name ends with."""

    def factor(name: str) -> float:
        return next((f for end, f in factors.items() if name.endswith(end)), 1.0)

    return {name: x * factor(name) for name, x in params.items()}
