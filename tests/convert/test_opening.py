"""Checkpoints in all common forms: what is read, and what is refused."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from convert.__main__ import main
from convert.source import DIFFUSERS, ORIGINAL
from tests.convert import made, made_original
from tests.convert.made_original import torch_file

VOCAB, TEXT = made_original.VOCAB, made_original.TEXT
COMFY = "model.diffusion_model."


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Single files of a Wan 2.1, as ComfyUI's users have them."""
    folder = tmp_path_factory.mktemp("single")
    wan = made.state("transformer", ORIGINAL, made.WAN21)
    save_file(made.prefixed(wan, COMFY), folder / "wan.safetensors")
    vae = made.state("vae", ORIGINAL, made.OLD_VAE)
    save_file(vae, folder / "vae.safetensors")
    text = made.state("text_encoder", DIFFUSERS, TEXT)
    spiece = np.frombuffer(made.words(VOCAB), np.uint8)
    save_file({**text, "spiece_model": spiece}, folder / "umt5.safetensors")
    (folder / "spiece.model").write_bytes(made.words(VOCAB))
    return folder


def options(files, **changes):
    given = {"vae": "vae.safetensors", "text-encoder": "umt5.safetensors"} | changes
    return [
        word
        for name, file in given.items()
        if file is not None
        for word in (f"--{name}", str(files / file))
    ]


def run(out, *words):
    return main(["wan", *map(str, words), str(out), "--dtype", "float32"])


@pytest.fixture(scope="module")
def single(files, tmp_path_factory):
    """The folder that the single files give, tried with one step."""
    out = tmp_path_factory.mktemp("out") / "single"
    assert run(out, files / "wan.safetensors", *options(files), "--verify") == 0
    return out


def fingerprint(folder):
    return Card.read(folder).fingerprint


def test_single_files_have_the_weights_that_were_made(single):
    model = checkpoints.load(single, "transformer", WanDiT, WanConfig)
    made_of = made.state("transformer", ORIGINAL, made.WAN21)
    for layer in range(2):
        kernel = model.layers.attn.q.kernel[...][layer]
        assert (kernel == made_of[f"blocks.{layer}.self_attn.q.weight"].T).all()
    assert model.config == made.WAN21
    card = Card.read(single)
    assert card.part("vae").config["width"] == 4
    assert card.part("text_encoder").config["vocab"] == VOCAB
    assert {"wan.safetensors", "vae.safetensors"} < card.sources.keys()


def test_verification_runs_what_was_converted(files, tmp_path, capsys):
    words = [files / "wan.safetensors", *options(files), "--verify"]
    assert run(tmp_path / "x", *words) == 0
    assert (
        "tried: 1 frame was made of 64x64 pixels in one step" in capsys.readouterr().out
    )


def test_what_does_not_run_is_not_left(files, tmp_path, capsys, monkeypatch):
    def broken(_):
        raise ValueError("the model gave latents that are not finite")

    monkeypatch.setattr("convert.__main__.trial", broken)
    words = [files / "wan.safetensors", *options(files), "--verify"]
    assert run(tmp_path / "x", *words) == 1
    assert "not finite" in capsys.readouterr().err
    assert os.listdir(tmp_path) == []


def resaved(files, tmp_path, name, tensors):
    save_file(tensors, tmp_path / name)
    return [tmp_path / name, *options(files)]


def original_transformer(seed=0):
    return made.state("transformer", ORIGINAL, made.WAN21, seed)


def no_prefix(files, tmp_path):
    return resaved(files, tmp_path, "x.safetensors", original_transformer())


def short_prefix(files, tmp_path):
    state = made.prefixed(original_transformer(), "diffusion_model.")
    return resaved(files, tmp_path, "x.safetensors", state)


def diffusers_names(files, tmp_path):
    state = made.state("transformer", DIFFUSERS, made.WAN21)
    return resaved(files, tmp_path, "x.safetensors", state)


def averaged_generator(files, tmp_path):
    wrapped = "model._fsdp_wrapped_module."
    content = {
        "generator": made.prefixed(original_transformer(1), wrapped),
        "generator_ema": made.prefixed(original_transformer(), wrapped),
    }
    torch_file(tmp_path / "x.pt", content)
    return [tmp_path / "x.pt", *options(files)]


def named_generator(files, tmp_path):
    content = {"generator": original_transformer(), "critic": original_transformer(1)}
    torch_file(tmp_path / "x.pt", content)
    return [tmp_path / "x.pt", "--state", "generator", *options(files)]


def original_text_and_vae(files, tmp_path):
    return [files / "wan.safetensors", *torch_parts(files, tmp_path)]


def torch_parts(files, tmp_path):
    """Options for the files of the other parts as Wan's authors publish them."""
    torch_file(tmp_path / "t5.pth", made.state("text_encoder", ORIGINAL, TEXT))
    torch_file(tmp_path / "vae.pth", made.state("vae", ORIGINAL, made.OLD_VAE))
    given = {"vae": tmp_path / "vae.pth", "text-encoder": tmp_path / "t5.pth"}
    return options(files, **given, tokenizer="spiece.model")


def named_generator_beside_torch_files(files, tmp_path):
    words = named_generator(files, tmp_path)[:3]
    return [*words, *torch_parts(files, tmp_path)]


def named_generator_for_a_folder(files, tmp_path):
    words = named_generator(files, tmp_path)[:3]
    folder = parts_folder(files, tmp_path / "source")
    save_file(
        made.state("transformer", DIFFUSERS, made.WAN21, 7),
        folder / "transformer" / "diffusion_pytorch_model.safetensors",
    )
    return [folder, "--transformer", *words]


def gguf_in_whole(files, tmp_path):
    state = original_transformer()
    patch = state["patch_embedding.weight"]
    tensors = {name: (x.shape, x.tobytes()) for name, x in state.items()}
    # The format has four axes; ComfyUI-GGUF notes the shape beside it.
    tensors["patch_embedding.weight"] = ((patch.shape[0], 16 * 4), patch.tobytes())
    noted = [("comfy.gguf.orig_shape.patch_embedding.weight", patch.shape)]
    data = made.gguf(tensors, dict.fromkeys(tensors, 0), noted)
    (tmp_path / "x.gguf").write_bytes(data)
    return [tmp_path / "x.gguf", *options(files)]


FORMS = (
    no_prefix,
    short_prefix,
    diffusers_names,
    averaged_generator,
    named_generator,
    named_generator_beside_torch_files,
    named_generator_for_a_folder,
    original_text_and_vae,
    gguf_in_whole,
)


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.__name__)
def test_every_form_gives_the_same_model(form, files, single, tmp_path):
    assert run(tmp_path / "out", *form(files, tmp_path)) == 0
    assert fingerprint(tmp_path / "out") == fingerprint(single)
    words = [tmp_path / "out", single]
    rules = [(x / "tokenizer" / "tokenizer.json").read_text() for x in words]
    assert rules[0] == rules[1]


def parts_folder(files, folder, variant=""):
    """A folder in diffusers' layout with the same weights."""
    (folder / "tokenizer").mkdir(parents=True)
    shutil.copy(files / "spiece.model", folder / "tokenizer")
    text = {name: ["transformers", "UMT5EncoderModel"] for name in ["text_encoder"]}
    index = {"_class_name": "WanPipeline", "transformer": ["a", "b"], **text}
    (folder / "model_index.json").write_text(json.dumps({**index, "vae": ["a", "b"]}))
    configs = {"transformer": made.WAN21, "vae": made.OLD_VAE, "text_encoder": TEXT}
    for part, config in configs.items():
        kind = made.kind_of(part, config)
        (folder / part).mkdir()
        (folder / part / "config.json").write_text(json.dumps(kind.export(config)))
        name = f"{kind.stem}{variant}.safetensors"
        save_file(made.state(part, DIFFUSERS, config), folder / part / name)
    return folder


def test_hub_cache(files, single, tmp_path):
    model = tmp_path / "models--Wan-AI--Wan"
    parts_folder(files, model / "snapshots" / "abc")
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text("abc\n")
    assert run(tmp_path / "out", model) == 0
    assert fingerprint(tmp_path / "out") == fingerprint(single)


def test_a_hub_cache_of_several(files, tmp_path, capsys):
    (tmp_path / "models--a--b" / "snapshots" / "one").mkdir(parents=True)
    assert run(tmp_path / "out", tmp_path) == 1
    assert "is a hub cache of 1 models: give the folder of one" in (
        capsys.readouterr().err
    )
    (tmp_path / "models--a--b" / "snapshots" / "two").mkdir()
    assert run(tmp_path / "out", tmp_path / "models--a--b") == 1
    assert "(found one, two): give one, as" in capsys.readouterr().err


def test_a_download_that_did_not_end(files, tmp_path, capsys):
    folder = parts_folder(files, tmp_path / "source")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.unlink()
    file.symlink_to(tmp_path / "blobs" / "123")
    assert run(tmp_path / "out", folder) == 1
    assert "is a link to a file that is not there" in capsys.readouterr().err


@pytest.mark.parametrize(
    "place",
    ["vae/diffusion_pytorch_model.safetensors", "tokenizer/spiece.model"],
)
def test_git_lfs_pointers(files, tmp_path, capsys, place):
    folder = parts_folder(files, tmp_path / "source")
    text = "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 5\n"
    (folder / place).write_text(text)
    assert run(tmp_path / "out", folder) == 1
    assert "is a git-lfs pointer, not the file itself" in capsys.readouterr().err


def test_variants(files, single, tmp_path, capsys):
    folder = parts_folder(files, tmp_path / "source", ".fp16")
    assert run(tmp_path / "only", folder) == 0
    assert fingerprint(tmp_path / "only") == fingerprint(single)
    vae = folder / "vae" / "diffusion_pytorch_model"
    shutil.copy(f"{vae}.fp16.safetensors", f"{vae}.bf16.safetensors")
    assert run(tmp_path / "out", folder) == 1
    assert "several variants (bf16, fp16): say which" in capsys.readouterr().err
    assert run(tmp_path / "asked", folder, "--variant", "fp16") == 0
    assert run(tmp_path / "out", folder, "--variant", "int4") == 1
    assert "has no variant 'int4': found fp16" in capsys.readouterr().err


def test_a_part_in_place_of_the_folders(files, tmp_path):
    folder = parts_folder(files, tmp_path / "source")
    save_file(original_transformer(5), tmp_path / "fast.safetensors")
    given = ["--transformer", tmp_path / "fast.safetensors"]
    assert run(tmp_path / "one", folder) == 0
    assert run(tmp_path / "out", folder, *given) == 0
    before, after = (Card.read(tmp_path / name).parts for name in ("one", "out"))
    assert before["transformer"].fingerprint != after["transformer"].fingerprint
    assert before["vae"].fingerprint == after["vae"].fingerprint


@pytest.mark.parametrize(
    ("config", "boundary"), [(made.WAN21, 0.875), (made.I2V22, 0.9)]
)
def test_originals_with_two_experts(tmp_path, config, boundary):
    folder = made_original.write(
        tmp_path / "x", True, config, made.OLD_VAE, "Wan2.1_VAE.pth"
    )
    assert run(tmp_path / "out", folder) == 0
    card = Card.read(tmp_path / "out")
    assert card.settings["boundary_ratio"] == boundary
    prints = [card.part(n).fingerprint for n in ("transformer", "transformer_2")]
    assert prints[0] != prints[1]


def test_originals_of_the_5b(tmp_path):
    folder = made_original.write(
        tmp_path / "x", False, made.TI2V, made.NEW_VAE, "Wan2.2_VAE.pth"
    )
    assert run(tmp_path / "out", folder) == 0
    card = Card.read(tmp_path / "out")
    assert card.settings == {"expand_timesteps": True}
    assert card.part("vae").model == "WanResidualVAE"
    assert card.part("vae").config["decoder_width"] == 4


CLIP_NAMES = (
    ("embeddings.class_embedding", "cls_embedding"),
    ("embeddings.position_embedding.weight", "pos_embedding"),
    ("embeddings.patch_embedding", "patch_embedding"),
    ("pre_layrnorm", "pre_norm"),
    ("post_layernorm", "post_norm"),
    ("encoder.layers", "transformer"),
    ("layer_norm1", "norm1"),
    ("layer_norm2", "norm2"),
    ("self_attn.out_proj", "attn.proj"),
    ("mlp.fc1", "mlp.0"),
    ("mlp.fc2", "mlp.2"),
)


def original_clip(state):
    """A tower's tensors as Wan 2.1 publishes them."""
    found = {}
    for name, value in state.items():
        for ours, theirs in CLIP_NAMES:
            name = name.replace(ours, theirs)
        found[f"visual.{name}"] = value
    for name in [name for name in found if ".q_proj." in name]:
        three = [found.pop(name.replace("q_proj", f"{x}_proj")) for x in "qkv"]
        fused = name.replace("self_attn.q_proj", "attn.to_qkv")
        found[fused] = np.concatenate(three)
    found["visual.cls_embedding"] = found["visual.cls_embedding"][None, None]
    found["visual.pos_embedding"] = found["visual.pos_embedding"][None]
    found["textual.anything"] = found["log_scale"] = np.ones(3, np.float32)
    return found


@pytest.mark.parametrize("positions", [None, 10], ids=["I2V", "FLF2V"])
def test_originals_with_an_image_tower(positions, tmp_path):
    from chorus_jax.nets.clip_image import CLIPImageConfig, CLIPImageEncoder

    tower = CLIPImageConfig(160, 2, 2, 64, side=28, dtype="float32")
    state = made.state("image_encoder", DIFFUSERS, tower)
    state = {name.removeprefix("vision_model."): x for name, x in state.items()}
    config = replace(made.I2V21, image_positions=positions)
    folder = made_original.write(
        tmp_path / "x", False, config, made.OLD_VAE, "Wan2.1_VAE.pth"
    )
    assert run(tmp_path / "out", folder) == 1
    name = "models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth"
    torch_file(folder / name, original_clip(state))
    assert run(tmp_path / "out", folder) == 0
    card = Card.read(tmp_path / "out")
    made_of = card.part("transformer").config
    assert made_of["image_width"] == 160
    assert made_of.get("image_positions") == positions
    ours = checkpoints.load(
        tmp_path / "out", "image_encoder", CLIPImageEncoder, CLIPImageConfig
    )
    assert ours.config == tower
    kernel = ours.layers.attn.k.kernel[...][1]
    assert (kernel == state["encoder.layers.1.self_attn.k_proj.weight"].T).all()


def refused(out, capsys, *words):
    assert run(out, *words) == 1
    assert not out.exists() and not list(out.parent.glob(".*partial"))
    return capsys.readouterr().err


def test_a_single_file_alone(files, tmp_path, capsys):
    message = refused(tmp_path / "out", capsys, files / "wan.safetensors")
    assert "these are single files, as ComfyUI has them" in message
    assert "--vae FILE --text-encoder FILE --tokenizer FILE" in message


def test_a_vae_of_another_model(files, tmp_path, capsys):
    state = made.state("transformer", ORIGINAL, made.TI2V)
    words = resaved(files, tmp_path, "x.safetensors", state)
    message = refused(tmp_path / "out", capsys, *words)
    assert "in_channels=48, but the latent channels is 16" in message


def test_the_text_encoder_of_an_ltx_video(files, tmp_path, capsys):
    state = made.state("text_encoder", DIFFUSERS, made.text_config(VOCAB, umt5=False))
    save_file(state, tmp_path / "t5xxl.safetensors")
    given = {"text-encoder": tmp_path / "t5xxl.safetensors"}
    words = options(files, **given, tokenizer="spiece.model")
    message = refused(tmp_path / "out", capsys, files / "wan.safetensors", *words)
    assert "it is a T5 (layers share position biases), but Wan reads umT5" in message


def test_a_tokenizer_of_another_model(files, tmp_path, capsys):
    (tmp_path / "spiece.model").write_bytes(made.words(VOCAB + 1))
    words = [files / "wan.safetensors", *options(files)]
    words += ["--tokenizer", tmp_path / "spiece.model"]
    message = refused(tmp_path / "out", capsys, *words)
    assert f"the tokenizer has {VOCAB + 1} tokens, but the text encoder" in message


def test_a_lora_as_the_model(files, tmp_path, capsys):
    ones = np.ones((4, 256), np.float32)
    state = {
        "diffusion_model.blocks.0.self_attn.q.lora_down.weight": ones,
        "diffusion_model.blocks.0.self_attn.q.lora_up.weight": ones.T.copy(),
    }
    words = resaved(files, tmp_path, "x.safetensors", state)
    message = refused(tmp_path / "out", capsys, *words)
    assert "is a LoRA, which changes a model and is none" in message
    assert "this file as --lora FILE" in message


def test_parts_that_are_mixed_up(files, tmp_path, capsys):
    words = [files / "vae.safetensors", *options(files)]
    message = refused(tmp_path / "out", capsys, *words)
    assert "is a Wan VAE under its original names: expected the transformer" in message
    assert "give this file as --vae" in message


def test_a_file_of_another_kind(files, tmp_path, capsys):
    (tmp_path / "x.txt").write_text("x" * 2000)
    message = refused(tmp_path / "out", capsys, tmp_path / "x.txt", *options(files))
    assert "x.txt is no file of weights: its name must end in one of .safe" in message


def test_a_state_that_is_not_there(files, tmp_path, capsys):
    torch_file(tmp_path / "x.pt", {"generator": original_transformer()})
    words = [tmp_path / "x.pt", "--state", "ema", *options(files)]
    message = refused(tmp_path / "out", capsys, *words)
    assert "has no state dict 'ema': it has generator" in message


def gguf_transformer(files, tmp_path):
    return gguf_in_whole(files, tmp_path)[0]


def diffusers_folder_of_parts(files, tmp_path):
    return parts_folder(files, tmp_path / "source")


def original_release(files, tmp_path):
    sizes = (False, made.WAN21, made.OLD_VAE, "Wan2.1_VAE.pth")
    return made_original.write(tmp_path / "source", *sizes)


def safetensors_transformer(files, tmp_path):
    return files / "wan.safetensors"


@pytest.mark.parametrize(
    "form",
    [
        safetensors_transformer,
        gguf_transformer,
        diffusers_folder_of_parts,
        original_release,
    ],
    ids=lambda form: form.__name__,
)
def test_a_state_that_no_transformer_has_is_refused(form, files, tmp_path, capsys):
    words = [form(files, tmp_path), "--state", "ema", *torch_parts(files, tmp_path)]
    message = refused(tmp_path / "out", capsys, *words)
    assert "--state ema chooses among the state dicts of a transformer's torch" in (
        message
    )
    assert f"is read from {words[0]}: leave --state out" in message


def test_a_variant_of_single_files_is_refused(files, tmp_path, capsys):
    words = [files / "wan.safetensors", "--variant", "fp16", *options(files)]
    message = refused(tmp_path / "out", capsys, *words)
    assert "--variant fp16 chooses among the files of a folder, but only" in message
