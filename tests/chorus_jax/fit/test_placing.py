"""The share of each chip: of weights over `tensor`, of the text's keys over heads."""

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

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
    for tensor, wanted in ((1, 3 * one), (4, 2 * one // 4 + one)):
        with jax.sharding.use_abstract_mesh(placing.abstract_mesh(sizes(tensor))):
            where = placing.input_partitions(tree)
        assert placing.array_bytes(tree, where, sizes(tensor)) == wanted


def test_shares_that_do_not_divide_are_rounded_up():
    x = jax.ShapeDtypeStruct((5, 4), jnp.float32)
    where = PartitionSpec(("data", "context"), None)
    assert placing.array_bytes(x, where, sizes(1)) == 3 * 4 * 4
