"""Parity with the makers' own package, `ltx-video` on PyPI; skipped without it.

Files of every kind, read by their code and by ours; positions; schedules; the second
pass. Needs `pip install --no-deps ltx-video einops`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from chorus_jax.checkpoints import abstract, names
from chorus_jax.families.ltx.dit import LTXDiT
from chorus_jax.families.ltx.positions import PixelScale, position_table
from chorus_jax.families.ltx.schedule import LinearQuadratic, TokenShift
from chorus_jax.families.ltx_shared.upsampler import with_statistics
from chorus_jax.families.ltx_vae.vae import LTXVAE
from chorus_jax.schedulers import Renoise, explicit
from convert.conversion import prepare_part
from convert.ltx_family import LTX
from convert.ltx_single import read_single
from tests.convert import made_ltx

pytest.importorskip("ltx_video")
pytest.importorskip("einops")


def loaded(part, component):
    """A part of a file as a module."""
    from flax import nnx

    prepared = prepare_part(part, LTX[part], component, "float32")
    assert not prepared.plan.problems
    values = {
        name: fill.read(tuple(slice(0, n) for n in fill.shape))
        for name, fill in prepared.plan.fills.items()
    }
    module = LTX[part].model(prepared.module.config, rngs=nnx.Rngs(0))
    leaves, tree = jax.tree.flatten(module)
    order = list(names(module))
    assert len(order) == len(leaves)
    return jax.tree.unflatten(tree, [jnp.asarray(values[name]) for name in order])


@pytest.fixture(scope="module", params=["0.9", "0.9.1", "0.9.5"])
def file(request, tmp_path_factory):
    """A tiny file of a version."""
    name = f"ltx-video-2b-v{request.param}.safetensors"
    return made_ltx.write(tmp_path_factory.mktemp("makers"), name)


def relative(ours, theirs):
    return np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max()


def test_a_file_gives_the_makers_transformer(file):
    from ltx_video.models.transformers.transformer3d import Transformer3DModel

    theirs = Transformer3DModel.from_pretrained(file).eval()
    ours = loaded("transformer", read_single(file).parts["transformer"])
    assert isinstance(ours, LTXDiT)
    grid, rng = (3, 2, 4), np.random.default_rng(0)
    latents = rng.standard_normal((2, *grid, 4), np.float32)
    text = rng.standard_normal((2, 6, 16), np.float32)
    lengths = np.array([4, 6])
    level = rng.uniform(0, 1, (2, 24)).astype(np.float32)
    scale = PixelScale(8, 32, 25.0, ours.config.causal_positions)
    places = scale.places(grid) * np.array([20, 2048, 2048], np.float32)
    with torch.no_grad():
        want = theirs(
            torch.from_numpy(latents.reshape(2, 24, 4)),
            torch.from_numpy(np.stack([places.T] * 2)),
            torch.from_numpy(text),
            torch.from_numpy(level),
            encoder_attention_mask=torch.from_numpy(
                (np.arange(6) < lengths[:, None]).astype(np.int64)
            ),
        ).sample.numpy()
    arrays = map(jnp.asarray, (latents, 1000 * level, text, lengths))
    got = ours(*arrays, scale)
    assert relative(got.reshape(2, 24, 4), want) < 1e-4


def test_a_file_gives_the_makers_vae(file):
    from ltx_video.models.autoencoders.causal_video_autoencoder import (
        CausalVideoAutoencoder,
    )

    theirs = CausalVideoAutoencoder.from_pretrained(file).eval()
    ours = loaded("vae", read_single(file).parts["vae"])
    assert isinstance(ours, LTXVAE)
    rng = np.random.default_rng(0)
    video = rng.uniform(-1, 1, (1, 9, 64, 64, 3)).astype(np.float32)
    back = lambda x: torch.from_numpy(np.moveaxis(np.asarray(x), -1, 1).copy())
    with torch.no_grad():
        moments = theirs.encode(back(video)).latent_dist
        mean = np.moveaxis(moments.mode().numpy(), 1, -1)
    raw = ours.denormalise(ours.encode(jnp.asarray(video)))
    assert relative(raw, mean) < 1e-4
    if any(ours.config.decoder_noise):
        return  # it draws noise as it decodes
    timed = ours.config.timestep
    latents = rng.standard_normal((1, 2, 2, 2, 4)).astype(np.float32)
    with torch.no_grad():
        want = theirs.decode(
            back(ours.denormalise(jnp.asarray(latents))),
            target_shape=(1, 3, 9, 64, 64),
            timestep=torch.tensor([0.05]) if timed else None,
        ).sample
    from chorus_jax.families.ltx_vae.vae_blocks import Cue

    cue = Cue(jnp.array([0.05]), jax.random.split(jax.random.key(0), 1))
    got, _ = ours.decode_step(jnp.asarray(latents), None, cue)
    want = np.moveaxis(want.numpy(), 1, -1).clip(-1, 1)
    assert relative(got, want) < 1e-4


@pytest.mark.parametrize("causal", [False, True])
def test_positions_are_the_makers(causal):
    from ltx_video.models.autoencoders.vae_encode import (
        latent_to_pixel_coords_from_factors,
    )
    from ltx_video.models.transformers.symmetric_patchifier import SymmetricPatchifier
    from ltx_video.models.transformers.transformer3d import Transformer3DModel

    config = {**made_ltx.TRANSFORMER, "num_layers": 1}
    model = Transformer3DModel.from_config(config)
    grid, fps = (4, 3, 5), 30
    _, coords = SymmetricPatchifier(1).patchify(torch.zeros(1, 4, *grid))
    pixels = latent_to_pixel_coords_from_factors(coords, (8, 32, 32), causal)
    pixels = pixels.to(torch.float32)
    pixels[:, 0] = pixels[:, 0] * (1.0 / fps)
    cos, sin = model.precompute_freqs_cis(pixels)
    want = torch.stack([cos[0, :, ::2], sin[0, :, ::2]]).numpy()
    got = position_table(grid, 32, PixelScale(8, 32, float(fps), causal))
    np.testing.assert_allclose(got, want, atol=1e-4)


def test_schedules_are_the_makers():
    from ltx_video.schedulers.rf import RectifiedFlowScheduler

    shape = (1, 128, 16, 22, 38)
    theirs = RectifiedFlowScheduler(shifting="SD3", target_shift_terminal=0.1)
    theirs.set_timesteps(40, samples_shape=shape)
    got = TokenShift().sigmas(40, 16 * 22 * 38)
    np.testing.assert_allclose(got, theirs.timesteps.numpy(), atol=1e-6)
    theirs = RectifiedFlowScheduler(sampler="LinearQuadratic")
    theirs.set_timesteps(30, samples_shape=shape)
    got = LinearQuadratic().sigmas(30, 0)
    np.testing.assert_allclose(got, theirs.timesteps.numpy(), atol=1e-6)


def test_stochastic_steps_are_the_makers(monkeypatch):
    from ltx_video.schedulers.rf import RectifiedFlowScheduler

    sigmas, rng = (1.0, 0.975, 0.725), np.random.default_rng(0)
    latents, velocity, noise = rng.standard_normal((3, 1, 6, 4)).astype(np.float32)
    theirs, ours = RectifiedFlowScheduler(), Renoise(explicit(sigmas))
    theirs.set_timesteps(timesteps=list(sigmas))
    monkeypatch.setattr(torch, "randn_like", lambda _: torch.from_numpy(noise))
    for i, sigma in enumerate(sigmas):
        want = theirs.step(
            torch.from_numpy(velocity),
            torch.full((1, 6), sigma),
            torch.from_numpy(latents),
            stochastic_sampling=True,
        ).prev_sample
        arrays = map(jnp.asarray, (latents, velocity))
        got, _ = ours.step(i, *arrays, (), jnp.asarray(noise))
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-5, atol=1e-6)


def test_statistics_of_the_second_pass_are_the_makers():
    from ltx_video.pipelines import pipeline_ltx_video

    rng = np.random.default_rng(0)
    large = rng.standard_normal((2, 2, 4, 4, 3)).astype(np.float32)
    small = 3 + 2 * rng.standard_normal((2, 2, 2, 2, 3)).astype(np.float32)
    back = lambda x: torch.from_numpy(np.moveaxis(x, -1, 1).copy())
    want = pipeline_ltx_video.adain_filter_latent(back(large), back(small))
    got = with_statistics(jnp.asarray(large), jnp.asarray(small))
    np.testing.assert_allclose(got, np.moveaxis(want.numpy(), 1, -1), atol=1e-5)


def test_abstract_names_are_those_of_modules():
    """`loaded` puts values into modules by the order of names."""
    from flax import nnx

    config = LTX["vae"].layouts["original"].config(made_ltx.VAES["0.9.0"], "float32")
    made = names(LTXVAE(config, rngs=nnx.Rngs(0)))
    assert list(made) == list(names(abstract(LTXVAE, config)))
