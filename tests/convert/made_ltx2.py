"""Tiny LTX-2s under the names and metadata of the makers' single files."""

import json

from convert.ltx2_family import LTX2
from convert.source import ORIGINAL
from tests.convert.made import drawn

TRANSFORMER = {
    "_class_name": "AVTransformer3DModel",
    "num_attention_heads": 2,
    "attention_head_dim": 16,
    "cross_attention_dim": 32,
    "in_channels": 4,
    "out_channels": 4,
    "audio_num_attention_heads": 2,
    "audio_attention_head_dim": 8,
    "audio_cross_attention_dim": 16,
    "audio_in_channels": 32,
    "audio_out_channels": 32,
    "num_layers": 2,
    "caption_channels": 16,
    "dropout": 0.0,
    "num_embeds_ada_norm": 1000,
    "use_linear_projection": False,
    "only_cross_attention": False,
    "double_self_attention": False,
    "upcast_attention": False,
    "share_ff": False,
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-6,
    "qk_norm": "rms_norm",
    "standardization_norm": "rms_norm",
    "cross_attention_norm": True,
    "use_audio_video_cross_attention": True,
    "av_cross_ada_norm": True,
    "use_middle_indices_grid": True,
    "positional_embedding_type": "rope",
    "positional_embedding_theta": 10000.0,
    "positional_embedding_max_pos": [20, 2048, 2048],
    "audio_positional_embedding_max_pos": [20],
    "timestep_scale_multiplier": 1000,
    "av_ca_timestep_scale_multiplier": 1000,
    "rope_type": "split",
    "frequencies_precision": "float64",
    "connector_num_attention_heads": 2,
    "connector_attention_head_dim": 8,
    "connector_num_layers": 1,
    "connector_positional_embedding_max_pos": [4096],
}
TRANSFORMER_23 = TRANSFORMER | {
    "apply_gated_attention": True,
    "cross_attention_adaln": True,
    "caption_proj_before_connector": True,
    "caption_projection_first_linear": False,
    "caption_proj_input_norm": False,
    "caption_projection_second_linear": False,
    "connector_apply_gated_attention": True,
    "connector_attention_head_dim": 16,
    "audio_connector_attention_head_dim": 8,
}
VAE = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
    "causal_decoder": False,
    "timestep_conditioning": False,
    "decoder_base_channels": 4,
}
UP = ["compress_all", {"residual": True, "multiplier": 2}]
RES = ["res_x", {"num_layers": 1}]
VAE_20 = VAE | {
    "encoder_blocks": [
        *(RES, ["compress_space_res", {"multiplier": 2}]),
        *(RES, ["compress_time_res", {"multiplier": 2}]),
        *(RES, ["compress_all_res", {"multiplier": 2}]),
        *(RES, ["compress_all_res", {"multiplier": 2}], RES),
    ],
    "decoder_blocks": [RES, UP, RES, UP, RES, UP, RES],
}
VAE_23 = VAE | {
    "spatial_padding_mode": "zeros",
    "encoder_blocks": [
        *VAE_20["encoder_blocks"][:-2],
        *(["compress_all_res", {"multiplier": 1}], RES),
    ],
    "decoder_blocks": [
        *(RES, ["compress_space", {"multiplier": 2}]),
        *(RES, ["compress_time", {"multiplier": 2}]),
        *(RES, ["compress_all", {"multiplier": 1}]),
        *(RES, ["compress_all", {"multiplier": 2}], RES),
    ],
}
AUDIO_VAE = {
    "model": {
        "params": {
            "sampling_rate": 16000,
            "ddconfig": {
                **{"ch": 32, "ch_mult": [1, 2, 4], "num_res_blocks": 1},
                **{"in_channels": 2, "out_ch": 2, "z_channels": 2, "mel_bins": 64},
                **{"resolution": 256, "double_z": True, "attn_resolutions": []},
                **{"norm_type": "pixel", "causality_axis": "height"},
                "mid_block_add_attention": False,
            },
        }
    },
    "preprocessing": {"stft": {"hop_length": 160, "causal": True}},
}
VOCODER_20 = {
    **{"resblock": "1", "stereo": True, "upsample_initial_channel": 16},
    **{"upsample_rates": [4, 2], "upsample_kernel_sizes": [8, 4]},
    **{"resblock_kernel_sizes": [3], "resblock_dilation_sizes": [[1, 3, 5]]},
    "output_sampling_rate": 16000,
}
AMP = VOCODER_20 | {
    **{"resblock": "AMP1", "activation": "snakebeta"},
    **{"use_tanh_at_final": False, "use_bias_at_final": False},
}
VOCODER_23 = {
    "vocoder": AMP | {"upsample_rates": [5, 2], "upsample_kernel_sizes": [11, 4]},
    "bwe": AMP
    | {
        **{"upsample_rates": [6, 5], "upsample_kernel_sizes": [12, 11]},
        **{"n_fft": 32, "num_mels": 64, "hop_length": 10},
        **{"input_sampling_rate": 16000, "output_sampling_rate": 48000},
    },
}
PREFIXES = {
    "transformer": "model.diffusion_model.",
    "vae": "vae.",
    "audio_vae": "audio_vae.",
    "vocoder": "vocoder.",
}
FILES = {"2.0": "ltx-2-19b-dev.safetensors", "2.3": "ltx-2.3-22b-dev.safetensors"}
STATES, REGISTERS = 3, 128


def metadata(version):
    """The config of a published file of this version, at small sizes."""
    later = version == "2.3"
    return {
        "transformer": TRANSFORMER_23 if later else TRANSFORMER,
        "vae": VAE_23 if later else VAE_20,
        "audio_vae": AUDIO_VAE,
        "vocoder": VOCODER_23 if later else VOCODER_20,
    }


def kind_of(part, version):
    kind = LTX2[part]
    return kind.others[0] if part == "vocoder" and version == "2.3" else kind


def made(part, version, config, seed):
    kind = kind_of(part, version)
    layout = kind.layouts[ORIGINAL]
    sizes = layout.config(config, "float32")
    return drawn(kind.model, layout.rules(sizes), sizes, seed)


def connector_names(tensors, version):
    """The connectors' tensors as a file has them."""
    apart = version == "2.3"
    for name, value in tensors.items():
        if apart:
            name = name.replace(".aggregate_embed", ".video_aggregate_embed")
        outside = name.startswith("text_embedding_projection.")
        yield name if outside else f"{PREFIXES['transformer']}{name}", value


def state(version, seed=0):
    """The tensors of a file of this version, with their prefixes."""
    config, tensors = metadata(version), {}
    for number, (part, prefix) in enumerate(PREFIXES.items()):
        own = made(part, version, config[part], seed + number)
        tensors |= {prefix + name: value for name, value in own.items()}
    told = {"states": STATES, "registers": (REGISTERS,) * 2}
    own = made("connectors", version, config["transformer"] | told, seed + 9)
    return tensors | dict(connector_names(own, version))


def write(folder, version, tensors=None, **told):
    """A file of a published name; `told` is further metadata."""
    from safetensors.numpy import save_file

    given = {"config": json.dumps(metadata(version)), "model_version": version}
    file = folder / FILES[version]
    save_file(state(version) if tensors is None else tensors, file, given | told)
    return file
