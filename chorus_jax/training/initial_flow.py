"""How transformer and text encoder start: no layer adds anything, three heads look.

Rotary positions are all that the transformer knows of where a token is, and to find
them out by itself takes it most of a training. So three heads of every layer start with
constant queries and keys, whose product depends on the distance alone: attention to the
same place at all times, to the neighbourhood, to the same time; or, where a token holds
all times, to the neighbourhood, the row, the column. The thought is that of mimetic
initialisation (arXiv 2305.09828); these heads are ours.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from chorus_jax.models.t5 import T5Config, T5Encoder
from chorus_jax.models.wan import WanDiT
from chorus_jax.models.wan_config import WanConfig
from chorus_jax.training.naming import initial_namers
from chorus_jax.training.params import Params, named_part, random_params, scaled
from chorus_jax.training.structure import initial_reader

TRANSFORMER, TEXT = "transformer", "text_encoder"
GATES = (2, 5)  # rows of a block's modulation

# The axes (frames, height, width) along which each of the heads keeps to its own place,
# for tokens of one latent frame and of several.
LOOKS = ((1, 2), (0, 1, 2), (0,))
LOOKS_OF_COLUMNS = ((1, 2), (1,), (2,))
CONSTANT = 4.0  # of queries and keys, at the two fastest angles of such an axis
CONTENT = 0.3  # of these heads' queries and keys, over what it would be
SHARPNESS = 1.6  # their norm's scale


def initial_transformer(config: WanConfig, seed: int) -> Params:
    """Gates of one before output projections of zero: every layer learns at once."""
    params = random_params(lambda rngs: WanDiT(config, rngs=rngs), seed)
    zero = ("modulation", "modulation.kernel", ".o.kernel", "layers.mlp.outer.kernel")
    params = scaled(params, dict.fromkeys((*zero, "out.linear.kernel"), 0.0))
    table = params["layers.modulation"]
    params["layers.modulation"] = table.at[:, GATES, :].set(1.0)
    return named_part(TRANSFORMER, with_looks(params, config))


def with_looks(params: Params, config: WanConfig) -> Params:
    """The parameters with heads that look; models of fewer heads have fewer of them."""
    constant = constants(config)
    looking = np.arange(config.width) < config.head_width * len(looks(config))
    changed = dict(params)
    for name in ("layers.attn.q", "layers.attn.k"):
        kernel = params[f"{name}.kernel"]
        changed[f"{name}.kernel"] = kernel * np.where(looking, CONTENT, 1)[None, None]
        changed[f"{name}.bias"] = params[f"{name}.bias"] + constant[None]
        scale = jnp.asarray(np.where(looking, SHARPNESS, 1), jnp.float32)
        norm = params[f"{name}_norm.scale"]
        changed[f"{name}_norm.scale"] = norm * scale[None]
    return {k: x.astype(jnp.float32) for k, x in changed.items()}


def looks(config: WanConfig) -> tuple[tuple[int, ...], ...]:
    """The axes along which each of the heads keeps to its own place."""
    return LOOKS if config.patch[0] == 1 else LOOKS_OF_COLUMNS


def constants(config: WanConfig) -> Float[np.ndarray, " c"]:
    """The constant part of queries and keys (see `models.rotary` for the channels)."""
    side = config.head_width // 6
    counts = (config.head_width // 2 - 2 * side, side, side)
    found = np.zeros((config.heads, config.head_width), np.float32)
    for head, axes in zip(found, looks(config)):
        for axis in axes:
            pairs = sum(counts[:axis]) + np.arange(min(2, counts[axis]))
            head[2 * pairs] = CONSTANT
    return found.reshape(-1)


def initial_readers(transformer: WanConfig, encoder: T5Config) -> Params:
    """What reads targets off the models in training, and is in no checkpoint folder."""
    return {
        **initial_reader(transformer.width, transformer.patch),
        **initial_namers(text=encoder.width, video=transformer.width),
    }


def initial_text_encoder(config: T5Config, seed: int) -> Params:
    """Queries made small, for T5 does not scale its logits; no bias by distance."""
    params = random_params(lambda rngs: T5Encoder(config, rngs=rngs), seed)
    factors = {"q.kernel": config.head_width**-0.5, "bias.table": 0.0, ".o.kernel": 0.0}
    return named_part(TEXT, scaled(params, {**factors, "outer.kernel": 0.0}))
