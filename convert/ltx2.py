"""Rules for the LTX-2 transformer in diffusers' layout and original single files.

Source: huggingface/diffusers, models/transformers/transformer_ltx2.py and
scripts/convert_ltx2_to_diffusers.py; Lightricks/LTX-2, packages/ltx-core.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from chorus_jax.families.ltx2.config import LTX2Config
from convert.rules import LINEAR, Rule

_BLOCK = "transformer_blocks.{layer}"


def linear(source: str, target: str) -> tuple[Rule, Rule]:
    """Rules for a linear layer with a bias."""
    return (
        Rule(f"{source}.weight", f"{target}.kernel", LINEAR),
        Rule(f"{source}.bias", f"{target}.bias"),
    )


def attention(source: str, target: str) -> Iterator[Rule]:
    """Rules for an LTX2Attention module of diffusers."""
    names = {"to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "o"}
    for published, here in (names | {"to_gate_logits": "gate"}).items():
        yield from linear(f"{source}.{published}", f"{target}.{here}")
    for name in "qk":
        yield Rule(f"{source}.norm_{name}.weight", f"{target}.{name}_norm.scale")


def mlp(source: str, target: str) -> Iterator[Rule]:
    """Rules for a FeedForward module of diffusers."""
    yield from linear(f"{source}.net.0.proj", f"{target}.inner")
    yield from linear(f"{source}.net.2", f"{target}.outer")


def _times(source: str, target: str) -> Iterator[Rule]:
    embedder = f"{source}.emb.timestep_embedder"
    yield from linear(f"{embedder}.linear_1", f"{target}.time.inner")
    yield from linear(f"{embedder}.linear_2", f"{target}.time.outer")
    yield from linear(f"{source}.linear", f"{target}.modulation")


def _ends(prefix: str, stream: str, gate: str) -> Iterator[Rule]:
    here = stream
    yield from linear(f"{prefix}proj_in", f"{here}.patch")
    yield from linear(f"{prefix}proj_out", f"{here}.out.linear")
    yield Rule(f"{prefix}scale_shift_table", f"{here}.out.modulation")
    for number, name in ((1, "inner"), (2, "outer")):
        source = f"{prefix}caption_projection.linear_{number}"
        yield from linear(source, f"{here}.text.{name}")
    yield from _times(f"{prefix}time_embed", f"{here}.times.blocks")
    yield from _times(f"{prefix}prompt_adaln", f"{here}.times.text")
    across = f"av_cross_attn_{stream}_scale_shift"
    yield from _times(across, f"{here}.times.across")
    yield from _times(f"av_cross_attn_{stream}_{gate}_gate", f"{here}.times.gate")


def _block(prefix: str, stream: str, other: str) -> Iterator[Rule]:
    here = f"layers.{stream}"
    yield Rule(f"{_BLOCK}.{prefix}scale_shift_table", f"{here}.modulation")
    text = f"{_BLOCK}.{prefix}prompt_scale_shift_table"
    yield Rule(text, f"{here}.text_modulation")
    across = f"{_BLOCK}.{stream}_a2v_cross_attn_scale_shift_table"
    yield Rule(across, f"{here}.across_modulation")
    yield from attention(f"{_BLOCK}.{prefix}attn1", f"{here}.attn")
    yield from attention(f"{_BLOCK}.{prefix}attn2", f"{here}.cross")
    yield from attention(f"{_BLOCK}.{other}_attn", f"{here}.other")
    yield from mlp(f"{_BLOCK}.{prefix}ff", f"{here}.mlp")


DIFFUSERS: tuple[Rule, ...] = (
    *_ends("", "video", "a2v"),
    *_ends("audio_", "audio", "v2a"),
    *_block("", "video", "audio_to_video"),
    *_block("audio_", "audio", "video_to_audio"),
)

# The original names of modules that diffusers renames.
MAKERS = {
    **{"proj_in": "patchify_proj", "audio_proj_in": "audio_patchify_proj"},
    **{"time_embed": "adaln_single", "audio_time_embed": "audio_adaln_single"},
    **{f"{x}prompt_adaln": f"{x}prompt_adaln_single" for x in ("", "audio_")},
    "av_cross_attn_video_scale_shift": "av_ca_video_scale_shift_adaln_single",
    "av_cross_attn_audio_scale_shift": "av_ca_audio_scale_shift_adaln_single",
    "av_cross_attn_video_a2v_gate": "av_ca_a2v_gate_adaln_single",
    "av_cross_attn_audio_v2a_gate": "av_ca_v2a_gate_adaln_single",
    "video_a2v_cross_attn_scale_shift_table": "scale_shift_table_a2v_ca_video",
    "audio_a2v_cross_attn_scale_shift_table": "scale_shift_table_a2v_ca_audio",
    **{"norm_q": "q_norm", "norm_k": "k_norm"},
}


def renamed(rules: Sequence[Rule], names: Mapping[str, str]) -> tuple[Rule, ...]:
    """Rules whose source names have some dot-separated parts replaced."""

    def makers(name: str) -> str:
        return ".".join(names.get(part, part) for part in name.split("."))

    return tuple(replace(rule, source=makers(rule.source)) for rule in rules)


ORIGINAL: tuple[Rule, ...] = renamed(DIFFUSERS, MAKERS)

REQUIRED = {
    **{"norm_elementwise_affine": False, "qk_norm": "rms_norm_across_heads"},
    **{"activation_fn": "gelu-approximate", "patch_size": 1, "patch_size_t": 1},
    **{"audio_patch_size": 1, "audio_patch_size_t": 1, "rope_theta": 10000.0},
    **{"attention_bias": True, "attention_out_bias": True, "causal_offset": 1},
    **{"rope_type": "split", "rope_double_precision": True},
    **{"timestep_scale_multiplier": 1000, "vae_scale_factors": [8, 32, 32]},
    **{"audio_scale_factor": 4, "audio_sampling_rate": 16000},
    **{"audio_hop_length": 160, "ff_bias": True, "audio_ff_bias": True},
    **{"use_prompt_adaln_single": True, "use_keyframes_abs_pos_embedding": False},
}
REQUIRED_ORIGINAL = {
    **{"attention_bias": True, "activation_fn": "gelu-approximate"},
    **{"use_linear_projection": False, "only_cross_attention": False},
    **{"cross_attention_norm": True, "double_self_attention": False},
    **{"standardization_norm": "rms_norm", "norm_elementwise_affine": False},
    **{"qk_norm": "rms_norm", "positional_embedding_type": "rope"},
    **{"positional_embedding_theta": 10000.0, "use_middle_indices_grid": True},
    **{"use_audio_video_cross_attention": True, "av_cross_ada_norm": True},
    **{"share_ff": False, "timestep_scale_multiplier": 1000},
}
# Defaults of single files for rotary positions (not supported here), and the supported
# values.
POSITIONS = {"rope_type": "interleaved", "frequencies_precision": False}
RUN = {"rope_type": "split", "frequencies_precision": "float64"}
# Required of 2.3, whose connectors already project text to the width of each stream.
PROJECTED = {
    **{"caption_projection_first_linear": False, "caption_proj_input_norm": False},
    "caption_projection_second_linear": False,
}
# Pairs of fields, of video and audio, which must be equal.
SHARED = {"gated_attn": "audio_gated_attn", "cross_attn_mod": "audio_cross_attn_mod"}


def check(source: Mapping[str, Any], fixed: Mapping[str, Any], what: str) -> None:
    """Raises a ValueError if a field of a config has an unsupported value.

    Args:
        source: the config; fields that it lacks are not checked.
        fixed: the only supported value of each field.
        what: the name of the part, for the message.
    """
    for key, expected in fixed.items():
        value = source.get(key, expected)
        value = list(value) if isinstance(value, tuple) else value
        if value != expected:
            raise ValueError(f"{what} has {key}={value!r}; supported is {expected!r}")


def sizes_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """The sizes that diffusers' and the original config have under the same names."""
    return {
        "heads": source["num_attention_heads"],
        "head_width": source["attention_head_dim"],
        "audio_heads": source["audio_num_attention_heads"],
        "audio_head_width": source["audio_attention_head_dim"],
        "depth": source["num_layers"],
        "in_channels": source["in_channels"],
        "audio_channels": source["audio_in_channels"],
    }


def widths_of(source: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a config that follow from its other sizes."""
    sizes = sizes_of(source)
    return {
        "cross_attention_dim": sizes["heads"] * sizes["head_width"],
        "audio_cross_attention_dim": sizes["audio_heads"] * sizes["audio_head_width"],
        "audio_out_channels": sizes["audio_channels"],
    }


def config(source: dict, dtype: str) -> LTX2Config:
    """Our config from diffusers' transformer/config.json.

    Raises:
        ValueError: for an unsupported transformer, such as LTX-2.5's.
    """
    shared = {b: source.get(a, False) for a, b in SHARED.items()}
    # Without `rope_type` diffusers' default applies, which is not supported.
    check({"rope_type": "interleaved", **source}, REQUIRED, "the transformer")
    check(source, {**widths_of(source), **shared}, "the transformer")
    multiplier = source.get("cross_attn_timestep_scale_multiplier", 1000)
    projected = source.get("use_prompt_embeddings", True)
    return LTX2Config(
        **sizes_of(source),
        out_channels=source["out_channels"] or source["in_channels"],
        text_width=source["caption_channels"] if projected else None,
        gated=source.get("gated_attn", False),
        text_modulated=source.get("cross_attn_mod", False),
        gate_rate=multiplier / 1000,
        extent=(
            source["pos_embed_max_pos"],
            source["base_height"],
            source["base_width"],
        ),
        audio_extent=source["audio_pos_embed_max_pos"],
        block_epsilon=source["norm_eps"],
        dtype=dtype,
    )


def original_config(source: dict, dtype: str) -> LTX2Config:
    """Our config from the metadata of a single file (`config`, `transformer`).

    Raises:
        ValueError: for an unsupported transformer.
    """
    apart = source.get("caption_proj_before_connector", False)
    fixed = REQUIRED_ORIGINAL | widths_of(source) | (PROJECTED if apart else {})
    check(source, fixed, "the transformer")
    check({**POSITIONS, **source}, RUN, "the transformer")
    extent = source.get("positional_embedding_max_pos", [20, 2048, 2048])
    return LTX2Config(
        **sizes_of(source),
        out_channels=source.get("out_channels") or source["in_channels"],
        text_width=None if apart else source["caption_channels"],
        gated=source.get("apply_gated_attention", False),
        text_modulated=source.get("cross_attention_adaln", False),
        gate_rate=source.get("av_ca_timestep_scale_multiplier", 1) / 1000,
        extent=tuple(extent),
        audio_extent=source.get("audio_positional_embedding_max_pos", [20])[0],
        block_epsilon=source.get("norm_eps", 1e-6),
        dtype=dtype,
    )
