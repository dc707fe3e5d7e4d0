"""The share of each chip: of weights over `tensor`, of the text's keys over heads."""

import jax
import jax.numpy as jnp

from chorus_jax.families.registry import FAMILIES
from chorus_jax.fit import placing
from chorus_jax.nets.token_attention import Keys


def sizes(tensor):
    return {"data": 1, "context": 2, "tensor": tensor}


def test_weights_are_split_over_tensor():
    wan = FAMILIES["wan"]
    parts = wan.outline(wan.card("Wan 2.1 T2V-1.3B")).parts
    whole, split = (
        placing.weight_bytes(parts["transformer"], sizes(n)) for n in (1, 4)
    )
    assert whole / 4 < split < whole / 3.7


def test_keys_of_the_text_are_split_over_heads_and_nothing_else():
    x = jax.ShapeDtypeStruct((3, 2, 8, 4, 16), jnp.bfloat16)
    tree = (Keys(x, x), x)
    one = 3 * 2 * 8 * 4 * 16 * 2
    assert placing.array_bytes(tree, sizes(1)) == 3 * one
    assert placing.array_bytes(tree, sizes(4)) == 2 * one // 4 + one
