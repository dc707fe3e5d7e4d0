"""Tiny Wans as folders of the original releases."""

import json

from safetensors.numpy import save_file

from convert.source import ORIGINAL
from tests.convert import made

VOCAB = 48
TEXT = made.text_config(VOCAB)
EXPERTS = ("high_noise_model", "low_noise_model")
TEXT_FILE = "models_t5_umt5-xxl-enc-bf16.pth"


def torch_file(path, content):
    """Writes a dictionary of arrays, or of such dictionaries, as PyTorch does."""
    import torch

    def tensors(value):
        if isinstance(value, dict):
            return {name: tensors(inner) for name, inner in value.items()}
        return torch.from_numpy(value.copy())

    torch.save(tensors(content), path)


def write(folder, experts, config, vae, name):
    """Writes a release with random weights.

    Args:
        folder: where it is written.
        experts: whether it has two transformers.
        config: of a transformer.
        vae: config of the VAE.
        name: the file name of the VAE.
    """
    for i, place in enumerate(EXPERTS if experts else ["."]):
        (folder / place).mkdir(parents=True, exist_ok=True)
        state = state_of("transformer", config, i)
        save_file(state, folder / place / "diffusion_pytorch_model.safetensors")
        sizes = {"_class_name": "WanModel", **sizes_of(config)}
        (folder / place / "config.json").write_text(json.dumps(sizes))
    torch_file(folder / name, state_of("vae", vae))
    torch_file(folder / TEXT_FILE, state_of("text_encoder", TEXT))
    tokenizer = folder / "google" / "umt5-xxl"
    tokenizer.mkdir(parents=True)
    (tokenizer / "spiece.model").write_bytes(made.words(VOCAB))
    return folder


def state_of(part, config, seed=0):
    """Random tensors of a part; norms are near one, else attention is nearly even."""
    state = made.state(part, ORIGINAL, config, seed)
    for name, value in state.items():
        if "norm" in name and name.endswith("weight"):
            value += 1
    return state


def sizes_of(config):
    """The sizes of a transformer as the config.json of a release has them."""
    return {
        "dim": config.width,
        "num_heads": config.heads,
        "num_layers": config.depth,
        "ffn_dim": config.mlp_width,
        "freq_dim": config.time_width,
        "in_dim": config.in_channels,
        "out_dim": config.out_channels,
        "text_len": 512,
        "eps": 1e-6,
    }
