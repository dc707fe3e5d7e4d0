"""Against the makers' own package, `wan22` on PyPI: skipped without it.

Folders of the original releases of Wan 2.2, read by their code and by ours: networks,
and whole runs of their pipelines with their schedules. Needs `pip install --no-deps
wan22 einops`. Their attention, a CUDA kernel, is replaced by PyTorch's; of torchvision
and imageio, which may be missing, nothing is run but the scaling of pixels.
"""

import importlib.util
import sys
import types
from dataclasses import replace
from functools import partial
from importlib.machinery import ModuleSpec

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from PIL import Image

from chorus_jax.denoise import loop
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request
from convert.__main__ import main
from tests.convert import made, made_original

PACKAGE = importlib.util.find_spec("wan")
if PACKAGE is None:
    pytest.skip("pip install --no-deps wan22 einops", allow_module_level=True)
pytest.importorskip("einops")
# Their code asks for autocast on CUDA, which is off in float32.
pytestmark = pytest.mark.filterwarnings("ignore:.*(CUDA|cuda)")

OLD, NEW = "Wan2.1_VAE.pth", "Wan2.2_VAE.pth"
RELEASES = {
    "t2v": (True, made.WAN21, made.OLD_VAE, OLD),
    "i2v": (True, made.I2V22, made.OLD_VAE, OLD),
    "ti2v": (False, made.TI2V, made.NEW_VAE, NEW),
}
SCALES = (3.0, 4.0)  # of the low and of the high noise


def attention(q, k, v, q_lens=None, k_lens=None, window_size=(-1, -1)):
    """What their flash attention computes, of rows without padding."""
    assert q_lens is None and window_size == (-1, -1)
    assert k_lens is None or (k_lens == k.shape[1]).all()
    heads_first = (x.transpose(1, 2) for x in (q, k, v))
    attended = torch.nn.functional.scaled_dot_product_attention(*heads_first)
    return attended.transpose(1, 2).contiguous()


def to_tensor(image):
    """torchvision's: pixels in [0, 1], channels first."""
    return torch.from_numpy(np.moveaxis(np.array(image, np.float32), -1, 0) / 255)


@pytest.fixture(scope="module", autouse=True)
def package():
    """Their modules, without those that `import wan` wants beside them."""
    with pytest.MonkeyPatch.context() as patch:
        bare = types.ModuleType("wan")
        bare.__path__ = list(PACKAGE.submodule_search_locations)
        patch.setitem(sys.modules, "wan", bare)
        for name in (
            *("torchvision", "torchvision.transforms"),
            *("torchvision.transforms.functional", "imageio"),
        ):
            empty = types.ModuleType(name)
            empty.__spec__ = ModuleSpec(name, None)
            empty.to_tensor = to_tensor
            patch.setitem(sys.modules, name, empty)
        # Asked for a default while a module is imported.
        patch.setattr(torch.cuda, "current_device", lambda: 0)
        from wan.modules import model

        patch.setattr(model, "flash_attention", attention)
        yield
        for name in [name for name in sys.modules if name.startswith("wan.")]:
            patch.delitem(sys.modules, name)


@pytest.fixture(scope="module", params=RELEASES)
def folder(request, tmp_path_factory):
    """A folder of a release."""
    place = tmp_path_factory.mktemp("makers") / request.param
    return made_original.write(place, *RELEASES[request.param])


@pytest.fixture(scope="module")
def pipeline(folder):
    """Ours, of what the converter makes of it."""
    out = folder.parent / "converted"
    assert main(["wan", str(folder), str(out), "--dtype", "float32"]) == 0
    return Pipeline.load(out)


def transformer(folder, config):
    from safetensors.torch import load_file
    from wan.modules.model import WanModel

    kind = {16: "t2v", 36: "i2v", 48: "ti2v"}[config.in_channels]
    sizes = made_original.sizes_of(config)
    model = WanModel(model_type=kind, text_dim=config.text_width, **sizes)
    model.load_state_dict(load_file(folder / "diffusion_pytorch_model.safetensors"))
    return model.eval()


def text_encoder(folder):
    from wan.modules.t5 import T5Encoder

    sizes = made_original.TEXT
    model = T5Encoder(
        vocab=sizes.vocab,
        dim=sizes.width,
        dim_attn=sizes.heads * sizes.head_width,
        dim_ffn=sizes.mlp_width,
        num_heads=sizes.heads,
        num_layers=sizes.depth,
        num_buckets=sizes.buckets,
        shared_pos=False,
    )
    model.load_state_dict(torch.load(folder / made_original.TEXT_FILE))
    return model.eval()


def autoencoder(folder, config, monkeypatch):
    """Their VAE; its class fixes the widths, here they are those of the file."""
    from wan.modules import vae2_1, vae2_2

    if (folder / OLD).exists():
        narrow = partial(vae2_1._video_vae, dim=config.width)
        monkeypatch.setattr(vae2_1, "_video_vae", narrow)
        return vae2_1.Wan2_1_VAE(vae_pth=folder / OLD, device="cpu")
    narrow = partial(vae2_2._video_vae, dec_dim=config.decoder_width)
    monkeypatch.setattr(vae2_2, "_video_vae", narrow)
    return vae2_2.Wan2_2_VAE(c_dim=config.width, vae_pth=folder / NEW, device="cpu")


def close(ours, theirs, most=1e-5):
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() / np.abs(theirs).max() <= most


def channels_last(x):
    return jnp.asarray(torch.moveaxis(x, 0, -1).numpy())


def test_transformers_are_the_makers(folder, pipeline):
    model = pipeline.model
    config = model.transformer.config
    torch.manual_seed(0)
    latents = torch.randn(config.in_channels, 2, 4, 8)
    text = torch.randn(512, config.text_width)
    noisy, given = latents[: config.out_channels], latents[config.out_channels :]
    timestep = torch.tensor([999.0])
    ours = {"high_noise_model": model.transformer, "low_noise_model": model.low}
    if model.low is None:
        ours = {".": model.transformer}
        timestep = 1000 * torch.rand(1, 2 * 2 * 4)  # one for every token
    step = jax.jit(lambda model, x, t, text: model(x[None], t, text[None])[0])
    arrays = channels_last(latents), *(jnp.asarray(x.numpy()) for x in (timestep, text))
    for place, module in ours.items():
        theirs = transformer(folder / place, config)
        beside = [given] if len(given) else None
        [want] = theirs([noisy], timestep, [text], 2 * 2 * 4, beside)
        close(step(module, *arrays), channels_last(want))


def test_the_text_encoder_is_the_makers(folder, pipeline):
    rng = np.random.default_rng(0)
    ids = rng.integers(3, made_original.VOCAB, (2, 140))
    mask = np.arange(140) < np.array([[140], [9]])
    want = text_encoder(folder)(*map(torch.from_numpy, (ids, mask.astype(int))))
    got = jax.jit(lambda model, *x: model(*x))(
        pipeline.model.prompts.encoder, jnp.asarray(ids, jnp.int32), jnp.asarray(mask)
    )
    close(got[mask], want.numpy()[mask])


def test_the_vae_is_the_makers(folder, pipeline, monkeypatch):
    vae = pipeline.model.vae
    theirs = autoencoder(folder, vae.config, monkeypatch)
    torch.manual_seed(0)
    clip = torch.rand(3, 9, 64, 96) * 2 - 1
    [latents] = theirs.encode([clip])
    [frames] = theirs.decode([latents])
    got = jax.jit(lambda vae, x: vae.encode(x))(vae, channels_last(clip)[None])
    close(got[0], channels_last(latents))
    steps = vae.decode_stream(channels_last(latents)[None])
    close(jnp.concatenate(list(steps), axis=1)[0], channels_last(frames))


def request_of(model, **changes):
    """A request of 2x2x4 tokens: of this shape they take all of the area asked."""
    side = 2 * model.vae.config.space_compression
    size = {"height": 2 * side, "width": 4 * side}
    fields = {"frames": 5, **size, "steps": 6, "seed": 7, "solver": "wan_unipc"}
    return Request("a cat", "w20 w21", **fields | changes)


def run_of(folder, pipeline, monkeypatch):
    """Their pipeline of a release, as its constructor makes it but for the devices.

    Its decoder gives the latents that it reads.
    """
    from wan.image2video import WanI2V
    from wan.text2video import WanT2V
    from wan.textimage2video import WanTI2V

    kind = {"t2v": WanT2V, "i2v": WanI2V, "ti2v": WanTI2V}[folder.name]
    model = pipeline.model
    config, space = model.transformer.config, model.vae.config.space_compression
    theirs = object.__new__(kind)
    theirs.device, theirs.param_dtype = torch.device("cpu"), torch.float32
    theirs.rank, theirs.sp_size, theirs.num_train_timesteps = 0, 1, 1000
    theirs.t5_cpu = theirs.init_on_cpu = theirs.lightning = False
    theirs.vae_stride, theirs.patch_size = (4, space, space), config.patch
    theirs.text_encoder = Texts(text_encoder(folder), model.prompts.tokenizer)
    theirs.vae = autoencoder(folder, model.vae.config, monkeypatch)
    theirs.vae.decode = lambda latents: latents
    if model.low is None:
        theirs.model = transformer(folder, config)
    else:
        theirs.boundary = model.boundary
        theirs.high_noise_model = transformer(folder / "high_noise_model", config)
        theirs.low_noise_model = transformer(folder / "low_noise_model", config)
    return theirs


class Texts:
    """Their text encoder behind our tokenizer."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model, tokenizer

    def to(self, device):
        return self

    def __call__(self, texts, device):
        tokens = self.tokenizer(texts)
        ids, mask = (torch.from_numpy(x.astype(int)) for x in (tokens.ids, tokens.mask))
        return [row[keep > 0] for row, keep in zip(self.model(ids, mask), mask)]


@pytest.mark.parametrize("solver", ["wan_unipc", "wan_dpmpp"])
def test_whole_runs_are_the_makers(solver, folder, pipeline, monkeypatch):
    """Boundary and guidance of two experts, given frames, their own schedules."""
    model, paired = pipeline.model, pipeline.model.low is not None
    request = request_of(model, solver=solver, guidance_scale=5.0)
    if paired:
        low, high = SCALES
        request = replace(request, guidance_scale_low=low, guidance_scale_high=high)
    given = {}
    if folder.name != "t2v":
        draw = np.random.default_rng(0)
        size = (request.height, request.width, 3)
        image = draw.integers(0, 256, size, np.uint8)
        request = replace(request, inputs=InputMedia(image))
        given = {"img": Image.fromarray(image), "max_area": size[0] * size[1]}
    else:
        given = {"size": (request.width, request.height)}
    assert len(set(model.experts(request))) == 1 + paired
    theirs = run_of(folder, pipeline, monkeypatch)
    noise = loop.noise(jnp.array([request.seed], jnp.uint32), model.geometry(request))
    noise = torch.from_numpy(np.moveaxis(np.asarray(noise[0]), -1, 0).copy())
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: noise.reshape(shape))
    want = theirs.generate(
        request.prompt,
        n_prompt=request.negative_prompt,
        frame_num=request.frames,
        shift=request.shift,
        sample_solver={"wan_unipc": "unipc", "wan_dpmpp": "dpm++"}[solver],
        sampling_steps=request.steps,
        guide_scale=SCALES if paired else request.guidance_scale,
        seed=0,
        offload_model=False,
        **given,
    )
    [video] = pipeline(request)
    close(video.latents, channels_last(want), 2e-5)
