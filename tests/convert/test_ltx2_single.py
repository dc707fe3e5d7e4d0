"""LTX-2 in its makers' single files: what is read, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch
from tokenizers import Tokenizer

from chorus_jax.families.ltx2.config import LTX2Config
from chorus_jax.families.ltx2.connectors import ConnectorsConfig
from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
from convert import gemma, ltx2, ltx2_connectors, ltx2_source, ltx2_vae
from convert.conversion import prepare_part
from convert.families import FAMILIES, family_of
from convert.ltx2_family import LTX2
from convert.ltx2_single import read_single
from convert.ltx_single import metadata_config
from convert.parts_apart import PartsApart
from convert.tokenizer_files import FILES, JSON, open_tokenizer
from tests.convert import made_ltx2

NO_HOP = {**made_ltx2.AUDIO_VAE, "preprocessing": {"stft": {"hop_length": 0}}}


@pytest.fixture(scope="module", params=made_ltx2.FILES)
def file(request, tmp_path_factory):
    return made_ltx2.write(tmp_path_factory.mktemp("single"), request.param)


def test_every_tensor_of_a_file_has_its_place(file):
    assert family_of(file) is FAMILIES["ltx2"]
    parts = read_single(file)
    assert set(parts) == {"transformer", "connectors", "vae", "audio_vae", "vocoder"}
    for name, component in parts.items():
        prepared = prepare_part(name, LTX2[name], component, "float32")
        assert not prepared.plan.problems
    held = sum(len(component.tensors) for component in parts.values())
    assert held == len(made_ltx2.state("2.3" if "2.3" in file.name else "2.0"))


def renamed_by_diffusers(version):
    """diffusers' names of the transformer's tensors of a file."""
    from diffusers.loaders import lora_conversion_utils, single_file_utils

    prefix = made_ltx2.PREFIXES["transformer"]
    tensors = made_ltx2.state(version)
    own = {k: v for k, v in tensors.items() if k.startswith(prefix)}
    if version == "2.0":
        return single_file_utils.convert_ltx2_transformer_to_diffusers(own)
    # Its loader of single files does not know 2.3, that of LoRAs does.
    own = {k.removeprefix("model."): v for k, v in own.items()}
    rename = lora_conversion_utils._convert_non_diffusers_ltx2_lora_to_diffusers
    return {
        name.removeprefix("transformer."): value
        for name, value in rename(own).items()
        if "embeddings_connector" not in name
    }


@pytest.mark.parametrize("version", made_ltx2.FILES)
def test_names_are_those_that_diffusers_renames(version):
    theirs = renamed_by_diffusers(version)
    rules = {rule.target: rule for rule in ltx2.ORIGINAL}
    pairs = {rules[rule.target].source: rule.source for rule in ltx2.DIFFUSERS}
    fill = lambda name: name.replace("{layer}", "1")
    ours = {fill(new): fill(old) for old, new in pairs.items()}
    state, prefix = made_ltx2.state(version), made_ltx2.PREFIXES["transformer"]
    present = {new: old for new, old in ours.items() if prefix + old in state}
    assert len(present) > 100
    for new, old in present.items():
        np.testing.assert_array_equal(theirs[new], state[prefix + old])


PUBLISHED = {
    "2.0": (LTX2Config.b19(), ConnectorsConfig.b19(), LTXVAEConfig.v2()),
    "2.3": (LTX2Config.b22(), ConnectorsConfig.b22(), LTXVAEConfig.v23()),
}
FULL = {
    **{"num_attention_heads": 32, "attention_head_dim": 128, "num_layers": 48},
    **{"cross_attention_dim": 4096, "audio_cross_attention_dim": 2048},
    **{"audio_num_attention_heads": 32, "audio_attention_head_dim": 64},
    **{"in_channels": 128, "out_channels": 128, "caption_channels": 3840},
    **{"audio_in_channels": 128, "audio_out_channels": 128},
    **{"states": 49, "registers": (128, 128)},
}
CONNECTORS = {
    "2.0": {"connector_num_attention_heads": 30, "connector_num_layers": 2},
    "2.3": {
        **{"connector_num_attention_heads": 32, "connector_num_layers": 8},
        "audio_connector_attention_head_dim": 64,
    },
}
DEPTHS = {"2.0": ((4, 6, 6, 2, 2), (5, 5, 5, 5)), "2.3": ((4, 6, 4, 2, 2),) * 2}


def with_depths(blocks, depths):
    """The makers' blocks with these numbers of layers."""
    left = iter(depths)
    return [
        ["res_x", {"num_layers": next(left)}] if name == "res_x" else [name, settings]
        for name, settings in blocks
    ]


@pytest.mark.parametrize("version", made_ltx2.FILES)
def test_published_sizes_are_read_from_the_metadata(version):
    model, connectors, vae = PUBLISHED[version]
    config = made_ltx2.metadata(version)
    told = config["transformer"] | FULL | CONNECTORS[version]
    told["connector_attention_head_dim"] = 128
    assert ltx2.original_config(told, "bfloat16") == model
    assert ltx2_connectors.original_config(told, "bfloat16") == connectors
    encoder, decoder = DEPTHS[version]
    blocks = config["vae"] | {
        **{"latent_channels": 128, "decoder_base_channels": 128},
        "encoder_blocks": with_depths(config["vae"]["encoder_blocks"], encoder),
        "decoder_blocks": with_depths(config["vae"]["decoder_blocks"], decoder),
    }
    assert ltx2_vae.original_config(blocks, "bfloat16") == vae


@pytest.mark.parametrize("version", made_ltx2.FILES)
def test_float8_is_turned_back(version, tmp_path):
    """All matrices of the transformer's layers in float8, each with its scale."""
    prefix = made_ltx2.PREFIXES["transformer"] + "transformer_blocks."
    state, tensors, rounded = made_ltx2.state(version), {}, {}
    for number, (name, value) in enumerate(state.items()):
        tensors[name] = torch.from_numpy(value)
        if name.startswith(prefix) and value.ndim == 2 and name.endswith(".weight"):
            scale = 2.0 ** (number % 3)
            tensors[name] = (tensors[name] / scale).to(torch.float8_e4m3fn)
            rounded[name] = scale * tensors[name].float().numpy()
            tensors[f"{name}_scale"] = torch.tensor(scale)
            input_scale = f"{name.removesuffix('weight')}input_scale"
            tensors[input_scale] = torch.tensor(3.0)
    assert len(rounded) > 40
    file = tmp_path / made_ltx2.FILES[version]
    config = {"config": json.dumps(made_ltx2.metadata(version))}
    save_torch(tensors, file, config | {"model_version": version})
    part = read_single(file)["transformer"]
    prepared = prepare_part("transformer", LTX2["transformer"], part, "float32")
    assert not prepared.plan.problems
    for name, value in rounded.items():
        own = name.removeprefix(made_ltx2.PREFIXES["transformer"])
        np.testing.assert_array_equal(part.tensors[own].read(), value)


def test_a_file_alone_says_what_is_missing(file):
    with pytest.raises(ValueError, match="--text-encoder PATH --tokenizer PATH"):
        ltx2_source.open_ltx2(file)


def test_options_that_apply_to_no_file_are_refused(file):
    with pytest.raises(ValueError, match="--state last chooses among the state dicts"):
        ltx2_source.open_ltx2(file, PartsApart(state="last"))
    with pytest.raises(ValueError, match="--variant fp16 chooses among the files of"):
        ltx2_source.open_ltx2(file, PartsApart(variant="fp16"))


def test_other_versions_and_files_without_sizes_are_refused(tmp_path):
    tensors = {made_ltx2.PREFIXES["transformer"] + ltx2_marker(): np.zeros((2, 2))}
    for version in ("2.5.0", "v2.5", "2.6", "3"):
        later = made_ltx2.write(tmp_path, "2.3", tensors, model_version=version)
        with pytest.raises(ValueError, match=f"version {version}, which is not run"):
            ltx2_source.open_ltx2(later)
    for version in ("2.0.1", "2.3.0-distilled", "", "latest"):
        other = made_ltx2.write(tmp_path, "2.0", tensors, model_version=version)
        with pytest.raises(ValueError, match="no text_embedding_projection"):
            ltx2_source.open_ltx2(other)
    bare = made_ltx2.write(tmp_path, "2.0", tensors, config=json.dumps({}))
    with pytest.raises(ValueError, match="has no config in its metadata"):
        ltx2_source.open_ltx2(bare)


def ltx2_marker():
    from convert.ltx2_single import MARKER

    return MARKER


def test_a_single_file_becomes_a_model(ltx2_text, tmp_path):
    """Converted with Gemma's folder, a LoRA in either naming, and a distilled name."""
    from chorus_jax.checkpoints import Card
    from chorus_jax.engine.pipeline import Pipeline
    from convert.__main__ import main

    file = made_ltx2.write(tmp_path, "2.0")
    file = file.rename(tmp_path / "ltx-2-19b-distilled.safetensors")
    out = tmp_path / "converted"
    options = ["--text-encoder", str(ltx2_text), "--dtype", "float32"]
    assert main(["ltx2", str(file), str(out), *options]) == 0
    card = Card.read(out)
    assert card.family == "ltx2" and not card.scheduler["use_dynamic_shifting"]
    model = Pipeline.load(out).model
    assert model.sizes.vae.decoder_padding == "reflect"
    state = made_ltx2.state("2.0")
    name = "model.diffusion_model.audio_patchify_proj.weight"
    np.testing.assert_array_equal(
        model.transformer.audio.patch.kernel[...].T, state[name]
    )


def test_of_gemmas_folder_the_tokenizer_s_files_are_taken(ltx2_text, tmp_path):
    """Beside them are weights, which are larger than any tokenizer."""
    folder, out = tmp_path / "gemma", tmp_path / "tokenizer"
    shutil.copytree(ltx2_text, folder)
    with (folder / "model-00001-of-00005.safetensors").open("wb") as file:
        file.truncate(2**27)
    opened = open_tokenizer(folder, among=True)
    opened.write(out)
    assert {path.name for path in out.iterdir()} <= {*FILES}
    assert opened.rules().to_str() == Tokenizer.from_file(f"{out}/{JSON}").to_str()
    with pytest.raises(ValueError, match="has 134217728 bytes"):
        open_tokenizer(folder)


def test_google_s_own_file_leaves_out_what_is_the_default():
    from transformers import Gemma3TextConfig

    own = {
        "hidden_size": 3840,
        "intermediate_size": 15360,
        "model_type": "gemma3_text",
        "num_attention_heads": 16,
        "num_hidden_layers": 48,
        "num_key_value_heads": 8,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    }
    made = gemma.config({"text_config": own}, "bfloat16")
    theirs = Gemma3TextConfig(**own)
    assert made.vocab == theirs.vocab_size and made.head_width == theirs.head_dim
    assert made.query_scale == theirs.query_pre_attn_scalar
    assert made.epsilon == theirs.rms_norm_eps and made.stretch == 8


def lora(folder, names, seed=5):
    from safetensors.numpy import save_file

    rng, made = np.random.default_rng(seed), {}
    for name, (out, into) in names.items():
        made[f"{name}.lora_A.weight"] = rng.standard_normal((2, into), np.float32)
        made[f"{name}.lora_B.weight"] = rng.standard_normal((out, 2), np.float32)
    folder.mkdir()
    save_file(made, folder / "lora.safetensors")
    return folder / "lora.safetensors"


MODULES = {
    "original": (
        "diffusion_model.transformer_blocks.1.audio_to_video_attn.to_q",
        "diffusion_model.av_ca_a2v_gate_adaln_single.linear",
        "text_embedding_projection.aggregate_embed",
    ),
    "diffusers": (
        "transformer.transformer_blocks.1.audio_to_video_attn.to_q",
        "transformer.av_cross_attn_video_a2v_gate.linear",
        "connectors.text_proj_in",
    ),
}
SHAPES = ((16, 32), (32, 32), (16, 48))


@pytest.mark.parametrize("names", MODULES)
def test_loras_change_transformer_and_connectors(names, tmp_path):
    from convert.adapters import Adapter, merged
    from convert.source import Source

    file = made_ltx2.write(tmp_path, "2.0")
    source = Source(tmp_path, read_single(file), None, None, family="ltx2")
    adapter = lora(tmp_path / "lora", dict(zip(MODULES[names], SHAPES)))
    changed = merged(source, [Adapter(adapter, 0.5)])
    rng = np.random.default_rng(5)
    where = {
        MODULES["original"][0].removeprefix("diffusion_model."): "transformer",
        MODULES["original"][1].removeprefix("diffusion_model."): "transformer",
        MODULES["original"][2]: "connectors",
    }
    for (module, part), (out, into) in zip(where.items(), SHAPES):
        down = rng.standard_normal((2, into), np.float32)
        up = rng.standard_normal((out, 2), np.float32)
        name = f"{module}.weight"
        before = source.components[part].tensors[name].read()
        after = changed.components[part].tensors[name].read()
        np.testing.assert_allclose(after, before + 0.5 * up @ down, rtol=1e-5)
    same = changed.components["transformer"].tensors["patchify_proj.weight"]
    assert same is source.components["transformer"].tensors["patchify_proj.weight"]


@pytest.fixture(scope="module")
def ltx2_text(tmp_path_factory):
    """A folder of a tiny Gemma 3 with its tokenizer."""
    import torch  # noqa: F401  # transformers names no module that it lacks

    from tests.chorus_jax.conftest import make_tokenizer
    from tests.chorus_jax.families.ltx2.conftest import text_encoder

    folder, tokenizer = tmp_path_factory.mktemp("gemma"), make_tokenizer()
    text_encoder(len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    "change",
    [
        {"transformer": [1]},
        {"transformer": {"caption_channels": 0}},
        {"vocoder": "x"},
        {"vocoder": {"bwe": 3}},
        {"audio_vae": NO_HOP},
    ],
)
def test_crafted_metadata_are_refused(change, file, tmp_path):
    crafted, config = tmp_path / file.name, metadata_config(file)
    metadata = {"config": json.dumps({**config, **change})}
    save_file(load_file(file), crafted, metadata)
    with pytest.raises(ValueError):
        for name, component in read_single(crafted).items():
            prepare_part(name, LTX2[name], component, "float32")
