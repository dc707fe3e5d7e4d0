"""Deepens a trained transformer: inserts layers that add nothing at first.

The model's output stays the same to the bit, and all new layers learn from the first
step on (a deeper student network in arXiv 1511.05641). Some heads of the new layers
start by attending to tokens on the four sides (`looks.py`).
"""

import jax.numpy as jnp
import numpy as np

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.training.initial_flow import TRANSFORMER, initial_transformer
from chorus_jax.training.looks import sides
from chorus_jax.training.params import Params

LAYERS = f"{TRANSFORMER}.layers."


def deepened(params: Params, depth: int, config: WanConfig, seed: int) -> Params:
    """The parameters of a model of `depth` layers, deepened to `config.depth`."""
    if depth == config.depth:
        return params
    fresh = initial_transformer(config, seed, sides(config))
    order = layer_order(depth, config.depth)
    return {
        name: jnp.concatenate([x, fresh[name]])[order] if name.startswith(LAYERS) else x
        for name, x in params.items()
    }


def layer_order(depth: int, deeper: int) -> np.ndarray:
    """The origin of each layer of the deeper model.

    Numbers below `depth` are trained layers, numbers from `depth` on new ones, which
    are evenly spread.
    """
    added = deeper - depth
    before = [(i + 1) * depth // (added + 1) for i in range(added)]
    return np.insert(np.arange(depth), before, depth + np.arange(added))
