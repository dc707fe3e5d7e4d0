"""Single files of every LTX-Video version, recognised by their metadata, converted."""

import json
from argparse import ArgumentParser

import jax
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from chorus_jax.checkpoints import Card, config_from
from chorus_jax.families.ltx.config import LTXConfig
from chorus_jax.families.ltx.schedule import LinearQuadratic, TokenShift, schedule_of
from convert.__main__ import command, main
from convert.conversion import prepare
from convert.families import family_of
from convert.ltx_single import read_single
from convert.ltx_source import open_ltx
from convert.parts_apart import PartsApart
from convert.source import ORIGINAL
from tests.convert import made, made_ltx
from tests.convert.made_original import torch_file

QUERY = "transformer_blocks.1.attn1.to_q"


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """The files of a text encoder and a tokenizer."""
    folder = tmp_path_factory.mktemp("beside")
    (folder / "spiece.model").write_bytes(made.words())
    text = made.text_config(48, umt5=False)
    save_file(made.state("text_encoder", "diffusers", text), folder / "t5.safetensors")
    return PartsApart(
        {"text_encoder": folder / "t5.safetensors"}, tokenizer=folder / "spiece.model"
    )


def options(beside):
    text = str(beside.parts["text_encoder"])
    return ["--text-encoder", text, "--tokenizer", str(beside.tokenizer)]


@pytest.mark.parametrize("name", made_ltx.FILES)
def test_every_version_is_told_by_its_file(name, beside, tmp_path, monkeypatch):
    from convert import ltx_versions

    # The tiny ones stand for the published sizes.
    size = "13B" if "13b" in name else "2B"
    monkeypatch.setattr(ltx_versions, "SIZES", {(2, 16, 2): size})
    source = open_ltx(made_ltx.write(tmp_path, name), beside)
    version = made_ltx.FILES[name]
    assert source.settings == {"version": version}
    later = version[:5] not in ("0.9.0", "0.9.1")
    kind = LinearQuadratic if later else TokenShift
    assert isinstance(schedule_of(source.scheduler), kind)
    assert family_of(tmp_path / name).title == "LTX-Video"


@pytest.mark.parametrize("version", ["0.9", "0.9.1", "0.9.5"])
def test_a_file_is_converted(version, beside, tmp_path):
    file = made_ltx.write(tmp_path, f"ltx-video-2b-v{version}.safetensors")
    out, args = tmp_path / "out", [str(file), str(tmp_path / "out")]
    args += ["--dtype", "float32", "--verify", *options(beside)]
    command("convert", args, lambda folder: None, ArgumentParser)
    card = Card.read(out)
    config = config_from(LTXConfig, card.part("transformer").config)
    assert card.family == "ltx" and config.causal_positions == (version == "0.9.5")


def test_without_metadata_the_tensors_tell(beside, tmp_path):
    for name in ("ltx-video-2b-v0.9.safetensors", "ltx-video-2b-v0.9.5.safetensors"):
        told = open_ltx(made_ltx.write(tmp_path, name), beside)
        untold = open_ltx(made_ltx.write(tmp_path, name, told=False), beside)
        causal = "causal_temporal_positioning"
        models = [x.components["transformer"].config for x in (told, untold)]
        assert models[0][causal] == models[1][causal]
        assert told.scheduler == untold.scheduler


def test_published_sizes_are_inferred(tmp_path):
    """The blocks of each published VAE, from names and shapes alone."""
    from chorus_jax.checkpoints import abstract, names
    from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
    from convert import ltx_inferred, ltx_vae_config
    from convert.ltx_family import LTX
    from convert.plan import source_shape, sources

    for sizes in (LTXVAEConfig.v090(), LTXVAEConfig.v091(), LTXVAEConfig.v095()):
        kind, tensors = LTX["vae"], {}
        for target, leaf in names(abstract(kind.model, sizes)).items():
            rules = [
                (rule, found)
                for rule in kind.layouts[ORIGINAL].rules(sizes)
                if (found := sources(rule, target, leaf.shape)) is not None
            ]
            rule, [name] = rules[0]
            tensors[name] = jax.ShapeDtypeStruct(
                source_shape(rule, leaf.shape), np.float32
            )
        told = ltx_inferred.config("vae", tensors, tmp_path)
        assert ltx_vae_config.original_config(told, "bfloat16") == sizes


def test_names_are_those_that_diffusers_renames(tmp_path):
    """Of the published sizes, by diffusers' own renaming of single files."""
    from diffusers.loaders.single_file_utils import (
        convert_ltx_transformer_checkpoint_to_diffusers,
        convert_ltx_vae_checkpoint_to_diffusers,
    )

    from chorus_jax.checkpoints import abstract, names
    from chorus_jax.families.ltx_vae.vae_config import LTXVAEConfig
    from convert.ltx_family import LTX
    from convert.plan import source_shape, sources

    cases = {
        ("transformer", "model.diffusion_model.", LTXConfig.b2()): (
            convert_ltx_transformer_checkpoint_to_diffusers
        ),
        **{
            ("vae", "vae.", sizes): convert_ltx_vae_checkpoint_to_diffusers
            for sizes in (LTXVAEConfig.v090(), LTXVAEConfig.v091(), LTXVAEConfig.v095())
        },
    }
    for (part, prefix, sizes), renamed in cases.items():
        kind, both = LTX[part], []
        for layout in (ORIGINAL, "diffusers"):
            table = kind.layouts[layout].rules(sizes)
            state = {}
            for target, leaf in names(abstract(kind.model, sizes)).items():
                rule, found = next(
                    (rule, found)
                    for rule in table
                    if (found := sources(rule, target, leaf.shape)) is not None
                )
                shape = jax.ShapeDtypeStruct(source_shape(rule, leaf.shape), np.float32)
                state |= {name: (target, shape) for name in found}
            both.append(state)
        theirs = {prefix + name: shape for name, (_, shape) in both[0].items()}
        want = renamed(dict(theirs))
        assert want.keys() == both[1].keys()
        assert {k: v.shape for k, v in want.items()} == {
            k: v.shape for k, (_, v) in both[1].items()
        }


def test_a_name_does_not_overrule_the_file(beside, tmp_path, monkeypatch):
    from convert import ltx_versions

    monkeypatch.setattr(ltx_versions, "SIZES", {(2, 16, 2): "2B"})
    file = made_ltx.write(tmp_path, "ltx-video-2b-v0.9.5.safetensors")
    other = file.rename(tmp_path / "ltx-video-2b-v0.9.1.safetensors")
    assert open_ltx(other, beside).settings == {"distilled": False}


@pytest.mark.parametrize(
    "name, other, told",
    [
        ("ltxv-13b-0.9.8-distilled", "model", {"distilled": True}),
        ("ltxv-13b-0.9.8-distilled", "ltxv_13b_098", {"distilled": True}),
        ("ltxv-13b-0.9.7-dev", "a 0.9.7 and 0.9.8 dev", {"distilled": False}),
        ("ltxv-13b-0.9.8-distilled", "0.9.8.distilled", {"version": "0.9.8-distilled"}),
        ("ltxv-13b-0.9.8-distilled", "LTXV-0.9.10-Distilled", {"distilled": True}),
        ("ltxv-13b-0.9.7-dev", "13b-0.9.7.1-dev", {"distilled": False}),
    ],
)
def test_odd_names(name, other, told, beside, tmp_path, monkeypatch):
    from convert import ltx_versions

    monkeypatch.setattr(ltx_versions, "SIZES", {(2, 16, 2): "13B"})
    file = made_ltx.write(tmp_path, f"{name}.safetensors")
    renamed = file.rename(tmp_path / f"{other}.safetensors")
    assert open_ltx(renamed, beside).settings == told


def test_float8_is_turned_back(beside, tmp_path):
    name = "ltxv-13b-0.9.8-dev-fp8.safetensors"
    state = made_ltx.state(made_ltx.FILES[name])
    key = f"model.diffusion_model.{QUERY}.weight"
    state[key] = (state[key] / 2).astype(ml_dtypes.float8_e4m3fn)
    rounded = state[key].astype(np.float32)
    scale = f"model.diffusion_model.{QUERY}.weight_scale"
    raw = {k: v for k, v in state.items() if k != key}
    import torch
    from safetensors.torch import save_file as save_torch

    tensors = {k: torch.from_numpy(v) for k, v in raw.items()}
    tensors[key] = torch.from_numpy(rounded).to(torch.float8_e4m3fn)
    tensors[scale] = torch.tensor(2.0)
    config = {"config": json.dumps(made_ltx.metadata(made_ltx.FILES[name]))}
    save_torch(tensors, tmp_path / name, config)
    part = read_single(tmp_path / name).parts["transformer"]
    read = part.tensors[f"{QUERY}.weight"].read()
    np.testing.assert_array_equal(read, 2 * rounded)


@pytest.mark.parametrize("layout", ["original", "diffusers"])
def test_loras_of_either_names(layout, beside, tmp_path):
    from convert.adapters import Adapter, merged

    module = {"original": "patchify_proj", "diffusers": "proj_in"}[layout]
    prefix = {"original": "diffusion_model.", "diffusers": "transformer."}[layout]
    rng = np.random.default_rng(0)
    down, up = rng.standard_normal((2, 4), "f4"), rng.standard_normal((32, 2), "f4")
    name = f"{prefix}{module}"
    query = f"{prefix}{QUERY}"
    lora = {f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}
    wide = rng.standard_normal((2, 32), "f4")
    lora |= {f"{query}.lora_A.weight": wide, f"{query}.lora_B.weight": up}
    save_file(lora, tmp_path / "lora.safetensors")
    file = made_ltx.write(tmp_path, "ltx-video-2b-v0.9.5.safetensors")
    source = merged(
        open_ltx(file, beside), [Adapter(tmp_path / "lora.safetensors", 0.5)]
    )
    part = source.components["transformer"].tensors
    for tensor, change in (("patchify_proj", up @ down), (QUERY, up @ wide)):
        changed = part[f"{tensor}.weight"]
        difference = changed.read() - changed.base.read()
        np.testing.assert_allclose(difference, 0.5 * change, atol=1e-5)


@pytest.mark.parametrize("option", ["image-encoder", "transformer-2"])
def test_parts_of_other_families_are_refused(option, tmp_path, capsys):
    file = made_ltx.write(tmp_path, "ltx-video-2b-v0.9.5.safetensors")
    command = ["ltx", str(file), str(tmp_path / "out"), f"--{option}", str(file)]
    if main(command) == 1:
        assert f"LTX-Video has no {option.replace('-', '_')}" in capsys.readouterr().err
        return
    pytest.fail("it was converted, and the part left out")


def test_what_is_missing_is_named(tmp_path, capsys):
    file = made_ltx.write(tmp_path, "ltx-video-2b-v0.9.5.safetensors")
    assert main(["ltx", str(file), str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "--text-encoder PATH --tokenizer PATH" in error


def test_a_state_is_the_transformers(beside, tmp_path, capsys):
    """Text encoder and tokenizer are read from torch files without nested states."""
    spiece = np.frombuffer(made.words(), np.uint8)
    text = load_file(beside.parts["text_encoder"]) | {"spiece_model": spiece}
    torch_file(tmp_path / "t5.pt", text)
    name = "ltx-video-2b-v0.9.5.safetensors"
    file, state = made_ltx.write(tmp_path, name), made_ltx.state("0.9.5", 1)
    torch_file(tmp_path / "x.pt", {"last": state, "ema": made_ltx.state("0.9.5", 2)})
    parts = {"text_encoder": tmp_path / "t5.pt"}
    apart = {"transformer": tmp_path / "x.pt", **parts}
    for source, given in ((tmp_path / "x.pt", parts), (file, apart)):
        read = open_ltx(source, PartsApart(given, state="last"))
        tensors = read.components["transformer"].tensors
        want = state[f"model.diffusion_model.{QUERY}.weight"]
        np.testing.assert_array_equal(tensors[f"{QUERY}.weight"].read(), want)
    with pytest.raises(ValueError, match="--state last chooses among the state dicts"):
        open_ltx(file, PartsApart(parts, state="last"))
    with pytest.raises(ValueError, match="--variant fp16 chooses among the files of"):
        open_ltx(file, PartsApart(parts, variant="fp16"))


def test_the_text_encoder_of_a_wan_is_refused(beside, tmp_path, capsys):
    text = made.state("text_encoder", "diffusers", made.text_config(48))
    save_file(text, tmp_path / "umt5.safetensors")
    file = made_ltx.write(tmp_path, "ltx-video-2b-v0.9.5.safetensors")
    args = ["ltx", str(file), str(tmp_path / "out"), "--dry-run", *options(beside)]
    assert main([*args, "--text-encoder", str(tmp_path / "umt5.safetensors")]) == 1
    message = capsys.readouterr().err
    assert "it is a umT5 (each layer has its own position biases), but LTX-" in message


@pytest.mark.parametrize(
    "part, changes, message",
    [
        ("vae", {"norm_layer": "group_norm"}, "norm_layer='group_norm'"),
        ("vae", {"blocks": [["attn_res_x", 2]]}, "order that is not run here"),
        ("transformer", {"adaptive_norm": "single_scale"}, "adaptive_norm="),
        ("scheduler", {"sampler": "Constant"}, "sampler='Constant'"),
        ("scheduler", {"target_shift_terminal": "x"}, "a last level below 1: got"),
    ],
)
def test_other_makes_are_refused(part, changes, message, beside, tmp_path, capsys):
    config = made_ltx.metadata("0.9.0")
    config[part] = config[part] | changes
    file = tmp_path / "ltx-video-2b-v0.9.safetensors"
    save_file(made_ltx.state("0.9.0"), file, {"config": json.dumps(config)})
    args = ["ltx", str(file), str(tmp_path / "out"), "--dry-run", *options(beside)]
    assert main(args) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "config",
    [
        *("[" * 10**5, "{", "[1]", "7", '{"transformer": [1]}', '{"vae": 5}'),
        *('{"scheduler": [1]}', '{"scheduler": "RectifiedFlow"}'),
        '{"transformer": {"num_attention_heads": [1], "attention_head_dim": {}}}',
    ],
)
def test_crafted_metadata_are_refused(config, beside, tmp_path, monkeypatch):
    name = next(iter(made_ltx.FILES))
    path = made_ltx.write(tmp_path, name)
    save_file(load_file(path), path, {"config": config})
    with pytest.raises(ValueError, match=name):
        source = open_ltx(path, beside)
        prepare(source, family_of(path).kinds, "float32")
