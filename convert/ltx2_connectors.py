"""Rules for LTX-2's connectors in diffusers' layout and original single files.

Source: huggingface/diffusers, pipelines/ltx2/connectors.py; Lightricks/LTX-2,
packages/ltx-core, ltx_core/text_encoders/gemma.
"""

from collections.abc import Iterator

from chorus_jax.families.ltx2.connectors import ConnectorsConfig
from convert.ltx2 import POSITIONS, RUN, attention, check, linear, mlp, renamed
from convert.rules import Rule

_STREAMS = ("video", "audio")


def _connector(stream: str) -> Iterator[Rule]:
    published = f"{stream}_connector"
    yield Rule(f"{published}.learnable_registers", f"{stream}.registers")
    block = f"{published}.transformer_blocks.{{layer}}"
    yield from attention(f"{block}.attn1", f"{stream}.layers.attn")
    yield from mlp(f"{block}.ff", f"{stream}.layers.mlp")


DIFFUSERS: tuple[Rule, ...] = (
    *linear("text_proj_in", "features.video"),
    *linear("video_text_proj_in", "features.video"),
    *linear("audio_text_proj_in", "features.audio"),
    *_connector("video"),
    *_connector("audio"),
)

_PROJECTION = "text_embedding_projection"
MAKERS = {
    "text_proj_in": f"{_PROJECTION}.aggregate_embed",
    **{f"{x}_text_proj_in": f"{_PROJECTION}.{x}_aggregate_embed" for x in _STREAMS},
    **{f"{x}_connector": f"{x}_embeddings_connector" for x in _STREAMS},
    **{"transformer_blocks": "transformer_1d_blocks"},
    **{"norm_q": "q_norm", "norm_k": "k_norm"},
}
ORIGINAL: tuple[Rule, ...] = renamed(DIFFUSERS, MAKERS)

REQUIRED = {
    **{"rope_theta": 10000.0, "rope_double_precision": True, "rope_type": "split"},
    "causal_temporal_positioning": False,
}


def config(source: dict, dtype: str) -> ConnectorsConfig:
    """Our config from diffusers' connectors/config.json.

    Raises:
        ValueError: for unsupported connectors.
    """
    check({"rope_type": "interleaved", **source}, REQUIRED, "the connectors")
    apart = source.get("per_modality_projections", False)
    gated = source.get("video_gated_attn", False)
    fixed = {"proj_bias": apart, "audio_gated_attn": gated}
    if apart:
        heads = lambda stream: source[f"{stream}_connector_num_attention_heads"]
        width = lambda stream: source[f"{stream}_connector_attention_head_dim"]
        fixed |= {f"{x}_hidden_dim": heads(x) * width(x) for x in _STREAMS}
    check(source, fixed, "the connectors")
    of_streams = lambda name: tuple(source[f"{x}_connector_{name}"] for x in _STREAMS)
    registers = of_streams("num_learnable_registers")
    if None in registers:
        raise ValueError(
            "the connectors have no learnable registers; supported are those with them"
        )
    return ConnectorsConfig(
        state_width=source["caption_channels"],
        states=source["text_proj_in_factor"],
        heads=of_streams("num_attention_heads"),
        head_widths=of_streams("attention_head_dim"),
        depth=of_streams("num_layers"),
        registers=registers,
        apart=apart,
        gated=gated,
        extent=source["connector_rope_base_seq_len"],
        dtype=dtype,
    )


def original_config(source: dict, dtype: str) -> ConnectorsConfig:
    """Our config from the metadata of a single file (`config`, `transformer`).

    `source` must also have `states` and `registers`, which `ltx2_single` infers from
    the tensors.

    Raises:
        ValueError: for unsupported connectors.
    """
    check({**POSITIONS, **source}, RUN, "the connectors")
    usual = {"num_attention_heads": 30, "attention_head_dim": 128, "num_layers": 2}

    def of_streams(name: str) -> tuple[int, int]:
        video = source.get(f"connector_{name}", usual[name])
        return video, source.get(f"audio_connector_{name}", video)

    return ConnectorsConfig(
        state_width=source["caption_channels"],
        states=source["states"],
        heads=of_streams("num_attention_heads"),
        head_widths=of_streams("attention_head_dim"),
        depth=of_streams("num_layers"),
        registers=tuple(source["registers"]),
        apart=source.get("caption_proj_before_connector", False),
        gated=source.get("connector_apply_gated_attention", False),
        extent=source.get("connector_positional_embedding_max_pos", [1])[0],
        dtype=dtype,
    )
