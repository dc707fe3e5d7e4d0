"""Guidance of passes with one, two and three branches."""

import jax.numpy as jnp
import numpy as np

from chorus_jax.nets.guidance import Perturbation, guided


def test_three_branches_are_the_makers_formula():
    rng = np.random.default_rng(0)
    prompt, negative, perturbed = rng.normal(size=(3, 2, 5, 4)).astype(np.float32)
    out = jnp.asarray(np.concatenate([prompt, negative, perturbed]))
    scale, far, share = np.array([[3.0, 2.0], [1.0, 0.5], [0.7, 0.0]], np.float32)
    asked = Perturbation(*map(jnp.asarray, (far, share)), jnp.array([True]))
    got = guided(out, jnp.asarray(scale), asked)
    for i in range(2):
        want = negative[i] + scale[i] * (prompt[i] - negative[i])
        want = want + far[i] * (prompt[i] - perturbed[i])
        factor = prompt[i].std(ddof=1) / want.std(ddof=1)
        want = want * (share[i] * factor + 1 - share[i])
        np.testing.assert_allclose(got[i], want, rtol=1e-5, atol=1e-6)
