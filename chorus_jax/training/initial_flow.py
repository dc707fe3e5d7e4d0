"""Initial weights of transformer and text encoder.

Layers add nothing at first, and some heads attend by distance only (`looks.py`).
"""

from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.nets.t5 import T5Config, T5Encoder
from chorus_jax.training.looks import Look, looks, with_looks
from chorus_jax.training.naming import initial_namers
from chorus_jax.training.params import Params, named_part, random_params, scaled
from chorus_jax.training.structure import initial_reader

TRANSFORMER, TEXT = "transformer", "text_encoder"
GATES = (2, 5)  # rows of a block's modulation


def initial_transformer(
    config: WanConfig, seed: int, seen: tuple[Look, ...] | None = None
) -> Params:
    """Transformer weights with gates of one and output projections of zero.

    So every layer adds nothing, but learns from the first step on. `seen` lists the
    offsets that the first heads attend to, one per head; None takes `looks(config)`.
    """
    params = random_params(lambda rngs: WanDiT(config, rngs=rngs), seed)
    zero = ("modulation", "modulation.kernel", ".o.kernel", "layers.mlp.outer.kernel")
    params = scaled(params, dict.fromkeys((*zero, "out.linear.kernel"), 0.0))
    table = params["layers.modulation"]
    params["layers.modulation"] = table.at[:, GATES, :].set(1.0)
    return named_part(TRANSFORMER, with_looks(params, config, seen or looks(config)))


def initial_readers(transformer: WanConfig, encoder: T5Config) -> Params:
    """Parameters of the linear maps that predict targets in training; no checkpoint
    holds them."""
    return {
        **initial_reader(transformer.width, transformer.patch),
        **initial_namers(text=encoder.width, video=transformer.width),
    }


def initial_text_encoder(config: T5Config, seed: int) -> Params:
    """Text encoder weights whose layers add nothing, and whose position bias is zero.

    Queries are scaled down, since T5 does not scale its logits.
    """
    params = random_params(lambda rngs: T5Encoder(config, rngs=rngs), seed)
    factors = {"q.kernel": config.head_width**-0.5, "bias.table": 0.0, ".o.kernel": 0.0}
    return named_part(TEXT, scaled(params, {**factors, "outer.kernel": 0.0}))
