"""The Wan VAEs over several devices: one device's video, each makes a share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from chorus_jax.devices import sharding
from chorus_jax.families.wan.residual_vae import WanResidualVAE
from chorus_jax.families.wan.residual_vae_config import WanResidualVAEConfig
from chorus_jax.families.wan.vae import WanVAE, _decode_step
from chorus_jax.families.wan.vae_config import WanVAEConfig
from tests.chorus_jax.collectives import collectives, largest

SIZES = dict(
    width=4,
    multipliers=(1, 2),
    depth=1,
    halve_time=(True,),
    latents_mean=(0.1, -0.2),
    latents_std=(1.0, 0.8),
    dtype="float32",
)
VAES = {
    "2.1": (WanVAE, WanVAEConfig(**SIZES)),
    "2.2": (
        WanResidualVAE,
        WanResidualVAEConfig(**{**SIZES, "multipliers": (1, 1)}, decoder_width=4),
    ),
}


@pytest.fixture(scope="module", params=VAES)
def vae(request):
    model, config = VAES[request.param]
    return jax.jit(lambda: model(config, rngs=nnx.Rngs(0)))()


def decoded(vae, latents):
    groups = list(vae.decode_stream(latents))
    return groups, np.concatenate(groups, axis=1)


@pytest.mark.parametrize(
    "axes, along", [({"context": 4}, 2), ({"data": 3}, 3)], ids=["rows", "columns"]
)
def test_decode_and_encode_equal_one_device(vae, axes, along):
    latents = jax.random.normal(jax.random.key(0), (1, 3, 4, 6, 2))
    _, alone = decoded(vae, latents)
    encode = jax.jit(lambda vae, video: vae.encode(video))
    known = encode(vae, jnp.asarray(alone))
    [count] = axes.values()
    with jax.set_mesh(sharding.make_mesh(**axes, devices=jax.devices()[:count])):
        groups, split = decoded(vae, latents)
        shares = encode(vae, jnp.asarray(alone))
        step = _decode_step.lower(vae, latents[:, :1], None).compile()
    np.testing.assert_allclose(split, alone, atol=1e-5)
    np.testing.assert_allclose(shares, known, atol=1e-5)
    for array in (*groups, shares):
        share = array.addressable_shards[0].data
        assert share.shape[along] == array.shape[along] // count
    # Neighbours exchange; only the smallest pictures' keys and values are gathered.
    assert collectives(step) == {"collective-permute", "all-gather"}
    width = SIZES["width"] * SIZES["multipliers"][-1]
    assert largest(step, "all-gather") <= 2 * 4 * 6 * width
