"""A trained transformer made deeper: layers put in between that add nothing yet.

The function stays the same to the bit, and every new layer learns at once (arXiv
1511.05641 calls it a deeper student). Their heads look to the sides (`looks.py`).
"""

import jax.numpy as jnp
import numpy as np

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.training.initial_flow import TRANSFORMER, initial_transformer
from chorus_jax.training.looks import sides
from chorus_jax.training.params import Params

LAYERS = f"{TRANSFORMER}.layers."


def deepened(params: Params, depth: int, config: WanConfig, seed: int) -> Params:
    """Parameters of a model of `depth` layers, for a `config` of as many or more."""
    if depth == config.depth:
        return params
    fresh = initial_transformer(config, seed, sides(config))
    order = layer_order(depth, config.depth)
    return {
        name: jnp.concatenate([x, fresh[name]])[order] if name.startswith(LAYERS) else x
        for name, x in params.items()
    }


def layer_order(depth: int, deeper: int) -> np.ndarray:
    """For each layer of the deeper model the number of its trained one, and beyond
    these of a new one; the new ones are evenly spread."""
    added = deeper - depth
    before = [(i + 1) * depth // (added + 1) for i in range(added)]
    return np.insert(np.arange(depth), before, depth + np.arange(added))
