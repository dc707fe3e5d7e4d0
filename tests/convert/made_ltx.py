"""Tiny LTX-Videos of every version under the names and metadata of published files."""

import json

import numpy as np

from convert.ltx_family import LTX
from convert.source import ORIGINAL
from tests.convert.made import drawn

TRANSFORMER = {
    "_class_name": "Transformer3DModel",
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "num_layers": 2,
    "in_channels": 4,
    "out_channels": 4,
    "caption_channels": 16,
    "cross_attention_dim": 32,
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-6,
    "qk_norm": "rms_norm",
    "standardization_norm": "rms_norm",
    "positional_embedding_type": "rope",
    "positional_embedding_theta": 10000.0,
    "positional_embedding_max_pos": [20, 2048, 2048],
    "timestep_scale_multiplier": 1000,
}
VAE = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "scaling_factor": 1.0,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
    "use_quant_conv": False,
    "causal_decoder": False,
    "encoder_base_channels": 4,
    "decoder_base_channels": 4,
}
BLOCKS_090 = [
    *(["res_x", 2], ["compress_all", 1], ["res_x_y", 1], ["res_x", 1]),
    *(["compress_all", 1], ["res_x_y", 1], ["res_x", 1], ["compress_all", 1]),
    *(["res_x", 1], ["res_x", 2]),
]
UP = ["compress_all", {"residual": True, "multiplier": 2}]


def up(noise):
    blocks = [
        ["res_x", {"num_layers": depth, "inject_noise": noise and depth != 4}]
        for depth in (1, 2, 3, 4)
    ]
    return [blocks[0], UP, blocks[1], UP, blocks[2], UP, blocks[3]]


ENCODER_095 = [
    *(["res_x", 2], ["compress_space_res", {"multiplier": 2}], ["res_x", 1]),
    *(["compress_time_res", {"multiplier": 2}], ["res_x", 1]),
    *(["compress_all_res", {"multiplier": 2}], ["res_x", 1]),
    *(["compress_all_res", {"multiplier": 2}], ["res_x", 1]),
]
VAES = {
    "0.9.0": VAE | {"blocks": BLOCKS_090},
    "0.9.1": VAE
    | {"encoder_blocks": BLOCKS_090, "decoder_blocks": up(True)}
    | {"timestep_conditioning": True},
    "0.9.5": VAE
    | {"encoder_blocks": ENCODER_095, "decoder_blocks": up(False)}
    | {"timestep_conditioning": True},
}
SHIFTED = {
    "_class_name": "RectifiedFlowScheduler",
    "num_train_timesteps": 1000,
    "shifting": "SD3",
    "base_resolution": None,
    "target_shift_terminal": 0.1,
}
QUADRATIC = {
    "_class_name": "RectifiedFlowScheduler",
    "num_train_timesteps": 1000,
    "shifting": None,
    "base_resolution": None,
    "sampler": "LinearQuadratic",
}
STEPS = [1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725, 0.4219]
FILES = {
    "ltx-video-2b-v0.9.safetensors": "0.9.0",
    "ltx-video-2b-v0.9.1.safetensors": "0.9.1",
    "ltx-video-2b-v0.9.5.safetensors": "0.9.5",
    "ltxv-2b-0.9.6-dev-04-25.safetensors": "0.9.6-dev",
    "ltxv-2b-0.9.6-distilled-04-25.safetensors": "0.9.6-distilled",
    "ltxv-2b-0.9.8-distilled.safetensors": "0.9.8-distilled",
    "ltxv-13b-0.9.7-dev.safetensors": "0.9.7-dev",
    "ltxv-13b-0.9.7-distilled.safetensors": "0.9.7-distilled",
    "ltxv-13b-0.9.8-dev-fp8.safetensors": "0.9.8-dev",
    "ltxv-13b-0.9.8-distilled.safetensors": "0.9.8-distilled",
}


def metadata(version):
    """The config of a published file of this version, at the sizes of `TRANSFORMER`."""
    number = version.partition("-")[0]
    later = number not in ("0.9.0", "0.9.1")
    config = {
        "transformer": TRANSFORMER | {"causal_temporal_positioning": later},
        "vae": VAES["0.9.5" if later else number],
        "scheduler": QUADRATIC if later else SHIFTED,
    }
    distilled = number in ("0.9.7", "0.9.8") and "distilled" in version
    return config | ({"allowed_inference_steps": STEPS} if distilled else {})


def state(version, seed=0):
    """The tensors of a file of this version, with their prefixes."""
    config, tensors = metadata(version), {}
    prefixes = {"transformer": "model.diffusion_model.", "vae": "vae."}
    for part, prefix in prefixes.items():
        layout = LTX[part].layouts[ORIGINAL]
        sizes = layout.config(config[part], "float32")
        made = drawn(LTX[part].model, layout.rules(sizes), sizes, seed)
        tensors |= {prefix + name: value for name, value in made.items()}
    # Statistics that nothing reads.
    unread = ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
    for name in unread:
        tensors[f"vae.per_channel_statistics.{name}"] = np.zeros(4, np.float32)
    return tensors


def write(folder, name, tensors=None, told=True):
    """A file of a published name; `told` is whether it has metadata."""
    from safetensors.numpy import save_file

    version = FILES[name]
    given = {"config": json.dumps(metadata(version))} if told else None
    save_file(state(version) if tensors is None else tensors, folder / name, given)
    return folder / name
