"""A tiny Wan with random weights in both published layouts."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from chorus_jax.checkpoints import abstract, names
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config
from convert import wan
from convert.family import WAN
from convert.opening import open_source
from convert.plan import source_shape, sources
from convert.rules import Rule
from convert.source import DIFFUSERS, ORIGINAL

WORDS = ["<pad>", "</s>", "<unk>", "a", "cat", "walks"]


@pytest.fixture(scope="session")
def pipeline():
    """diffusers' WanPipeline."""
    import torch
    from diffusers import (
        AutoencoderKLWan,
        UniPCMultistepScheduler,
        WanPipeline,
        WanTransformer3DModel,
    )
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    parts = {
        "transformer": WanTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=4,
            out_channels=4,
            text_dim=16,
            freq_dim=8,
            ffn_dim=20,
            num_layers=3,
        ),
        "vae": AutoencoderKLWan(
            base_dim=4,
            z_dim=4,
            dim_mult=[1, 1, 2, 2],
            num_res_blocks=1,
            latents_mean=[0.1] * 4,
            latents_std=[1.5] * 4,
        ),
        "text_encoder": UMT5EncoderModel(
            UMT5Config(
                vocab_size=len(WORDS),
                d_model=16,
                d_kv=8,
                d_ff=24,
                num_layers=2,
                num_heads=2,
            )
        ),
    }
    for part in parts.values():
        for value in part.parameters():
            value.normal_()
    scheduler = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return WanPipeline(tokenizer=_tokenizer(), scheduler=scheduler, **parts)


@pytest.fixture(scope="session")
def diffusers_folder(pipeline, tmp_path_factory):
    """The pipeline as diffusers saves it; the transformer in shards."""
    folder = tmp_path_factory.mktemp("source") / "diffusers"
    pipeline.save_pretrained(folder)
    shutil.rmtree(folder / "transformer")
    pipeline.transformer.save_pretrained(folder / "transformer", max_shard_size="20KB")
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 1
    return folder


@pytest.fixture
def folder(diffusers_folder, tmp_path):
    """A copy to be changed."""
    return shutil.copytree(diffusers_folder, tmp_path / "source")


@pytest.fixture(scope="session")
def kinds():
    """The parts of Wan 2.1; where the original layout tells no sizes, they are tiny."""
    tiny = {
        "transformer": tiny_transformer,
        "vae": tiny_vae,
        "text_encoder": tiny_text,
    }
    return {name: _sized(WAN[name], size) for name, size in tiny.items()}


def _sized(kind, config):
    layout = replace(kind.layouts[ORIGINAL], config=config)
    return replace(kind, layouts={**kind.layouts, ORIGINAL: layout})


def tiny_transformer(source, dtype):
    return replace(wan.original_config(source, dtype), text_width=16)


def tiny_text(_, dtype):
    return T5Config(
        width=16,
        depth=2,
        heads=2,
        mlp_width=24,
        vocab=len(WORDS),
        head_width=8,
        dtype=dtype,
    )


def tiny_vae(_, dtype):
    return WanVAEConfig(
        width=4,
        multipliers=(1, 1, 2, 2),
        depth=1,
        halve_time=(False, True, True),
        latents_mean=(0.1,) * 4,
        latents_std=(1.5,) * 4,
        dtype=dtype,
    )


@pytest.fixture(scope="session")
def original_folder(diffusers_folder, kinds, tmp_path_factory):
    """The same weights under the names of the original release."""
    import torch
    from safetensors.numpy import save_file

    folder = tmp_path_factory.mktemp("source") / "original"
    source = open_source(diffusers_folder)
    states = {part: _renamed(part, source, kinds) for part in kinds}
    folder.mkdir()
    save_file(states["transformer"], folder / "diffusion_pytorch_model.safetensors")
    config = source.components["transformer"].config
    sizes = {
        "dim": 24,
        "eps": config["eps"],
        "ffn_dim": config["ffn_dim"],
        "freq_dim": config["freq_dim"],
        "in_dim": 4,
        "model_type": "t2v",
        "num_heads": 2,
        "num_layers": 3,
        "out_dim": 4,
        "text_len": 512,
    }
    (folder / "config.json").write_text(json.dumps(sizes))
    for part, name in (
        ("vae", "Wan2.1_VAE.pth"),
        ("text_encoder", "models_t5_umt5-xxl-enc-bf16.pth"),
    ):
        state = {k: torch.from_numpy(v.copy()) for k, v in states[part].items()}
        torch.save(state, folder / name)
    shutil.copytree(diffusers_folder / "tokenizer", folder / "google" / "umt5-xxl")
    return folder


def _renamed(part, source, kinds):
    """A part's tensors under their original names and in their original shapes."""
    kind, component = kinds[part], source.components[part]
    config = kind.layouts[DIFFUSERS].config(dict(component.config), "float32")
    theirs = [r for r in kind.layouts[DIFFUSERS].rules(config) if isinstance(r, Rule)]
    ours = [r for r in kind.layouts[ORIGINAL].rules(config) if isinstance(r, Rule)]
    state = {}
    for target, leaf in names(abstract(kind.model, config)).items():
        old, new = (_rule(target, leaf.shape, table) for table in (theirs, ours))
        pairs = zip(*(sources(rule, target, leaf.shape) for rule in (old, new)))
        for before, after in pairs:
            value = old.fix.there(component.tensors[before].read())
            state[after] = np.ascontiguousarray(new.fix.back(value))
            assert state[after].shape == source_shape(new, leaf.shape)
    return state


def _rule(target, shape, table):
    return next(rule for rule in table if sources(rule, target, shape) is not None)


def _tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: i for i, word in enumerate(WORDS)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )
