"""Encodings of given images, by digest and tenant."""

import jax
import jax.numpy as jnp
import numpy as np

from chorus_jax.families.remembering import EncodedInputs


def test_an_input_is_encoded_once_per_tenant_and_the_oldest_goes():
    made = []
    known = EncodedInputs(most=2)

    def ask(tenant, key):
        return known(tenant, key, lambda: made.append((tenant, key)) or np.zeros(1))

    for tenant, key in [("a", 1), ("a", 1), ("b", 1), ("a", 1), ("a", 2), ("b", 1)]:
        ask(tenant, key)
    assert made == [("a", 1), ("b", 1), ("a", 2), ("b", 1)]
    known.forget("b")
    assert list(known.known) == [("a", 2)]
    known.forget()
    assert not known.known


def test_nothing_is_kept_of_a_program_that_is_traced():
    known = EncodedInputs()
    encoded = jax.jit(lambda x: known("a", 1, lambda: x + 1))(jnp.zeros(2))
    assert encoded.tolist() == [1, 1] and not known.known
