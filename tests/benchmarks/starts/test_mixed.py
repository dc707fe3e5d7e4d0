"""Mixtures of two noises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.starts.mixed import mixed


@pytest.fixture(scope="module")
def noises():
    return jax.random.normal(jax.random.key(0), (2, 1, 8, 16, 16, 4))


def test_a_share_of_none_or_all_is_one_of_the_noises(noises):
    own, other = noises
    np.testing.assert_array_equal(mixed(own, other, 0.0), own)
    np.testing.assert_array_equal(mixed(own, other, 1.0), other)


def test_a_mixture_has_the_variance_of_noise_and_of_both_as_much(noises):
    own, other = noises
    made = mixed(own, other, 0.5)
    assert float(made.var()) == pytest.approx(1, abs=0.05)
    for noise in noises:
        assert float((made * noise).mean()) == pytest.approx(0.5**0.5, abs=0.05)


def test_shares_may_differ_by_position(noises):
    own, other = noises
    share = jnp.zeros((1, 8, 16, 16, 1)).at[:, :4].set(1)
    made = mixed(own, other, share)
    np.testing.assert_array_equal(made[:, :4], other[:, :4])
    np.testing.assert_array_equal(made[:, 4:], own[:, 4:])
