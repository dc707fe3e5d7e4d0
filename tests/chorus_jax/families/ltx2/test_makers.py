"""Against the makers' own package, `ltx-core` on PyPI: skipped without it.

Single files, read by their code and by ours; given frames; levels. Needs `pip install
--no-deps ltx-core einops`; torchaudio, which nothing here runs, may be missing.
"""

import importlib.util
import sys
import types
from importlib.machinery import ModuleSpec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from chorus_jax.checkpoints import abstract, names
from chorus_jax.families.forward import evaluate
from chorus_jax.families.ltx2.conditions import AudioVideoConditions
from chorus_jax.families.ltx2.given_tokens import TOKEN, GivenTokens
from chorus_jax.families.ltx2.positions import AudioVideoScale
from chorus_jax.families.ltx2.schedule import FixedShift
from chorus_jax.families.ltx2.streams import Streams
from chorus_jax.families.ltx2.times import times_of
from chorus_jax.families.ltx_shared.given_frames import FrameLayout
from convert.conversion import prepare_part
from convert.ltx2_audio import UNUSED
from convert.ltx2_family import LTX2
from convert.ltx2_single import read_single
from tests.convert import made_ltx2

pytest.importorskip("ltx_core")
pytest.importorskip("einops")
GRID, FPS, WORDS, SOUND = (3, 2, 3), 24.0, 128, 5


@pytest.fixture(scope="module", autouse=True)
def without_torchaudio():
    with pytest.MonkeyPatch.context() as patch:
        if importlib.util.find_spec("torchaudio") is None:
            empty = types.ModuleType("torchaudio")
            empty.__spec__ = ModuleSpec("torchaudio", None)
            patch.setitem(sys.modules, "torchaudio", empty)
        yield


@pytest.fixture(scope="module", params=made_ltx2.FILES)
def file(request, tmp_path_factory):
    return made_ltx2.write(tmp_path_factory.mktemp("makers"), request.param)


def version_of(file):
    return "2.3" if "2.3" in file.name else "2.0"


def loaded(part, component):
    """A part of a file as a module."""
    kind = LTX2[part].read_from(component.config)
    prepared = prepare_part(part, LTX2[part], component, "float32")
    assert not prepared.plan.problems
    fills = prepared.plan.fills
    read = lambda fill: jnp.asarray(fill.read(tuple(slice(0, n) for n in fill.shape)))
    shapes = abstract(kind.model, prepared.module.config)
    tree = jax.tree.structure(shapes)
    return jax.tree.unflatten(tree, [read(fills[name]) for name in names(shapes)])


def theirs(file, module, *prefixes):
    """A module of theirs with the tensors under these prefixes, all of it."""
    from safetensors.torch import load_file

    tensors = {}
    for prefix in prefixes:
        for name, value in load_file(file).items():
            if name.startswith(prefix):
                tensors[name.removeprefix(prefix)] = value
    wanted = [name for name in module.state_dict() if not name.endswith(UNUSED)]
    assert set(wanted) <= set(tensors)
    own = {name: tensors[name] for name in wanted}
    left, _ = module.load_state_dict(own, strict=False, assign=True)
    assert all(name.endswith(UNUSED) for name in left)
    return module.eval()


def close(ours, want, most=1e-5):
    want = want.detach().numpy()
    assert ours.shape == want.shape
    assert np.abs(np.asarray(ours) - want).max() / np.abs(want).max() <= most


@pytest.fixture(scope="module")
def networks(file):
    from ltx_core.model.transformer.model_configurator import LTXModelConfigurator

    config = made_ltx2.metadata(version_of(file))
    model = LTXModelConfigurator.from_config(config)
    prefix = made_ltx2.PREFIXES["transformer"]
    model = theirs(file, model.to_empty(device="cpu"), prefix)
    return loaded("transformer", read_single(file)["transformer"]), model


# A soft first latent, and a clip of two latents beside, that begins at frame 1.
LAYOUT = FrameLayout(((0, 1, 0.4), (1, 9, 0.7)), 8)


def test_a_step_with_given_frames_is_the_makers(networks):
    from ltx_core.components.patchifiers import VideoLatentPatchifier
    from ltx_core.conditioning import (
        VideoConditionByKeyframeIndex,
        VideoConditionByLatentIndex,
    )
    from ltx_core.model.transformer.modality import Modality
    from ltx_core.model.transformer.model import X0Model
    from ltx_core.tools import VideoLatentTools
    from ltx_core.types import VideoLatentShape

    ours, model = networks
    torch.manual_seed(0)
    sigma = 0.6
    widths = (32, 16) if ours.config.text_width is None else (16, 16)
    text = [torch.randn(1, WORDS, width) for width in widths]
    first, clip = torch.randn(1, 4, 1, *GRID[1:]), torch.randn(1, 4, 2, *GRID[1:])
    sound = torch.randn(1, SOUND, 32)
    shape = VideoLatentShape(batch=1, channels=4, frames=3, height=2, width=3)
    tools = VideoLatentTools(VideoLatentPatchifier(patch_size=1), shape, FPS)
    state = tools.create_initial_state("cpu", torch.float32)
    for item in (
        VideoConditionByLatentIndex(first, 0.4, 0),
        VideoConditionByKeyframeIndex(clip, 1, 0.7),
    ):
        state = item.apply_to(state, tools)
    noisy = torch.randn(state.latent.shape)
    scale = AudioVideoScale(fps=FPS)
    seconds = torch.tensor(scale.audio(SOUND)).reshape(1, 1, SOUND, 1)
    level = torch.tensor([sigma])
    video = Modality(
        latent=noisy,
        sigma=level,
        timesteps=state.denoise_mask * sigma,
        positions=state.positions,
        context=text[0],
    )
    audio = Modality(
        latent=sound,
        sigma=level,
        timesteps=level[:, None, None].expand(1, SOUND, 1),
        # Theirs are intervals, whose middle is taken.
        positions=seconds.expand(1, 1, SOUND, 2),
        context=text[1],
    )
    with torch.no_grad():
        estimate, heard = X0Model(model)(video, audio, None)
    mask, clean = state.denoise_mask, state.clean_latent
    estimate = estimate * mask + clean * (1 - mask)
    velocity, sung = (noisy - estimate) / sigma, (sound - heard) / sigma

    count = 18  # of the video; theirs come first
    order = np.concatenate([np.arange(count, 30), np.arange(count)])
    clean = jnp.asarray(clean.numpy()[:, order])
    noisy = noisy.numpy()
    latents = {
        "video": jnp.asarray(noisy[:, :count]).reshape(1, *GRID, 4),
        "audio": jnp.asarray(sound.numpy()),
        "given": jnp.asarray(noisy[:, count:]),
    }

    @jax.jit
    def step(ours, latents, text, clean):
        given = GivenTokens.of(LAYOUT, GRID, clean, TOKEN)
        times = jnp.array([1000 * sigma])
        read = ours.text(Streams(*text))
        modules = Streams(*(end.times for end in ours.ends))
        conditions = AudioVideoConditions(
            read,
            ours.values(read),
            times_of(modules, times, times[:, None] * (1 - given.strengths)[None]),
            times / 1000,
            ours.positions(GRID, SOUND, scale, LAYOUT),
            given=given,
        )
        return evaluate(ours.forward(conditions, latents, jnp.zeros(1, int)))[0]

    got = step(ours, latents, [jnp.asarray(x.numpy()) for x in text], clean)
    close(got["video"].reshape(1, count, 4), velocity[:, :count])
    close(got["given"], velocity[:, count:])
    close(got["audio"], sung)


def test_connectors_are_the_makers(file):
    from ltx_core.text_encoders.gemma.embeddings_connector import (
        AudioEmbeddings1DConnectorConfigurator,
        Embeddings1DConnectorConfigurator,
    )

    ours = loaded("connectors", read_single(file)["connectors"])
    config = made_ltx2.metadata(version_of(file))
    torch.manual_seed(0)
    for stream, make in (
        ("video", Embeddings1DConnectorConfigurator),
        ("audio", AudioEmbeddings1DConnectorConfigurator),
    ):
        prefix = f"model.diffusion_model.{stream}_embeddings_connector."
        connector = theirs(file, make.from_config(config), prefix)
        connector = connector.to(torch.float32)
        features = torch.randn(1, WORDS, connector.inner_dim)
        # Three tokens, with the padding on the left.
        mask = torch.where(torch.arange(WORDS) < WORDS - 3, -1e9, 0.0)
        with torch.no_grad():
            want, _ = connector(features, mask.reshape(1, 1, 1, WORDS))
        right = np.roll(features.numpy(), 3, axis=1)
        got = jax.jit(lambda model, x: model(x, jnp.array([3])))(
            getattr(ours, stream), jnp.asarray(right)
        )
        close(got, want)


def test_the_video_vae_is_the_makers(file):
    from ltx_core.model.video_vae.model_configurator import (
        VideoDecoderConfigurator,
        VideoEncoderConfigurator,
    )

    config = made_ltx2.metadata(version_of(file))
    encoder = theirs(
        file,
        VideoEncoderConfigurator.from_config(config),
        "vae.encoder.",
        "vae.",
    )
    decoder = theirs(
        file,
        VideoDecoderConfigurator.from_config(config),
        "vae.decoder.",
        "vae.",
    )
    ours = loaded("vae", read_single(file)["vae"])
    torch.manual_seed(0)
    clip = torch.rand(1, 3, 9, 64, 64) * 2 - 1
    with torch.no_grad():
        latents = encoder(clip)
        frames = decoder(latents)
    back = lambda x: torch.moveaxis(x, 1, -1)
    got = jax.jit(lambda vae, x: vae.encode(x))(ours, jnp.asarray(back(clip).numpy()))
    close(got, back(latents))
    latents = jnp.asarray(back(latents).numpy())
    made = jax.jit(lambda vae, x: vae.decode(x, jnp.zeros(1, jnp.uint32)))
    want = back(frames).clamp(-1, 1)
    assert np.abs(np.asarray(made(ours, latents)) - want.numpy()).max() <= 1e-4


def test_the_vocoder_is_the_makers(file):
    from ltx_core.model.audio_vae.model_configurator import VocoderConfigurator

    config = made_ltx2.metadata(version_of(file))
    vocoder = theirs(file, VocoderConfigurator.from_config(config), "vocoder.")
    ours = loaded("vocoder", read_single(file)["vocoder"])
    torch.manual_seed(0)
    mel = torch.randn(1, 2, 8, 64)
    if version_of(file) == "2.3":
        # Loud enough for what cuts the first sound.
        vocoder.vocoder.conv_post.weight.data *= 300
        kernel = ours.base.output.kernel
        kernel[...] = 300 * kernel[...]
        with torch.no_grad():
            assert (vocoder.vocoder(mel).abs() == 1).any()
    with torch.no_grad():
        want = vocoder(mel)
    got = jax.jit(lambda model, x: model(x))(ours, jnp.asarray(mel.permute(0, 2, 3, 1)))
    assert np.abs(np.asarray(got) - want[0].T[None].numpy()).max() <= 1e-5


def test_levels_are_the_makers():
    from ltx_core.components.schedulers import LTX2Scheduler

    for steps in (8, 40):
        want = LTX2Scheduler().execute(steps=steps).numpy()[:-1]
        np.testing.assert_allclose(FixedShift().sigmas(steps, 99), want, atol=1e-6)


def test_levels_of_the_hq_pipeline_are_the_makers():
    """It shifts by the number of tokens, and evaluates twice a step."""
    from ltx_core.components.schedulers import LTX2Scheduler

    from configs import ltx23_hq

    empty = torch.empty(1, 128, 16, 17, 30)
    want = LTX2Scheduler().execute(latent=empty, steps=15).numpy()[:-1]
    steps = ltx23_hq.get_config().steps
    assert len(steps) == 31
    np.testing.assert_allclose(steps[:-1:2], want, atol=1e-6)
