"""Rules for the Wan transformer, with diffusers' names and the original names.

Sources: huggingface/diffusers, models/transformers/transformer_wan.py;
Wan-Video/Wan2.1, wan/modules/model.py.
"""

from typing import NamedTuple

from chorus_jax.families.wan.config import WanConfig
from convert.rules import CONV3D, LINEAR, SAME, Fix, Rule

# torch keeps modulation tables and position tables of images as [1, rows, c].
TABLE = Fix(lambda x: x[0], lambda x: x[None])


class TensorNames(NamedTuple):
    """One tensor's name in diffusers, in the original release, and here.

    Attributes:
        diffusers: its name in diffusers, a template.
        original: its name in the original release, a template.
        target: the dotted path of our parameter.
        fix: the change of layout, the same for both sources.
    """

    diffusers: str
    original: str
    target: str
    fix: Fix = SAME


def _linear(
    diffusers: str, original: str, target: str
) -> tuple[TensorNames, TensorNames]:
    return (
        TensorNames(
            f"{diffusers}.weight", f"{original}.weight", f"{target}.kernel", LINEAR
        ),
        TensorNames(f"{diffusers}.bias", f"{original}.bias", f"{target}.bias"),
    )


def _norm(
    diffusers: str, original: str, target: str
) -> tuple[TensorNames, TensorNames]:
    return (
        TensorNames(f"{diffusers}.weight", f"{original}.weight", f"{target}.scale"),
        TensorNames(f"{diffusers}.bias", f"{original}.bias", f"{target}.bias"),
    )


def _scale(diffusers: str, original: str, target: str) -> TensorNames:
    return TensorNames(f"{diffusers}.weight", f"{original}.weight", f"{target}.scale")


_EMBEDDER = "condition_embedder"
_PICTURE = "condition_embedder.image_embedder"
_BLOCK = "blocks.{layer}"
_ATTN, _SELF = "blocks.{layer}.attn1", "blocks.{layer}.self_attn"
_ATTN2, _CROSS = "blocks.{layer}.attn2", "blocks.{layer}.cross_attn"

ROWS: tuple[TensorNames, ...] = (
    TensorNames(
        "patch_embedding.weight", "patch_embedding.weight", "patch.kernel", CONV3D
    ),
    TensorNames("patch_embedding.bias", "patch_embedding.bias", "patch.bias"),
    *_linear(f"{_EMBEDDER}.time_embedder.linear_1", "time_embedding.0", "time.inner"),
    *_linear(f"{_EMBEDDER}.time_embedder.linear_2", "time_embedding.2", "time.outer"),
    *_linear(f"{_EMBEDDER}.time_proj", "time_projection.1", "modulation"),
    *_linear(f"{_EMBEDDER}.text_embedder.linear_1", "text_embedding.0", "text.inner"),
    *_linear(f"{_EMBEDDER}.text_embedder.linear_2", "text_embedding.2", "text.outer"),
    TensorNames(f"{_PICTURE}.pos_embed", "img_emb.emb_pos", "image.positions", TABLE),
    *_norm(f"{_PICTURE}.norm1", "img_emb.proj.0", "image.norm_in"),
    *_linear(f"{_PICTURE}.ff.net.0.proj", "img_emb.proj.1", "image.mlp.inner"),
    *_linear(f"{_PICTURE}.ff.net.2", "img_emb.proj.3", "image.mlp.outer"),
    *_norm(f"{_PICTURE}.norm2", "img_emb.proj.4", "image.norm_out"),
    TensorNames(
        f"{_BLOCK}.scale_shift_table",
        f"{_BLOCK}.modulation",
        "layers.modulation",
        TABLE,
    ),
    *_linear(f"{_ATTN}.to_q", f"{_SELF}.q", "layers.attn.q"),
    *_linear(f"{_ATTN}.to_k", f"{_SELF}.k", "layers.attn.k"),
    *_linear(f"{_ATTN}.to_v", f"{_SELF}.v", "layers.attn.v"),
    *_linear(f"{_ATTN}.to_out.0", f"{_SELF}.o", "layers.attn.o"),
    _scale(f"{_ATTN}.norm_q", f"{_SELF}.norm_q", "layers.attn.q_norm"),
    _scale(f"{_ATTN}.norm_k", f"{_SELF}.norm_k", "layers.attn.k_norm"),
    *_norm(f"{_BLOCK}.norm2", f"{_BLOCK}.norm3", "layers.cross_norm"),
    *_linear(f"{_ATTN2}.to_q", f"{_CROSS}.q", "layers.cross.q"),
    *_linear(f"{_ATTN2}.to_k", f"{_CROSS}.k", "layers.cross.k"),
    *_linear(f"{_ATTN2}.to_v", f"{_CROSS}.v", "layers.cross.v"),
    *_linear(f"{_ATTN2}.to_out.0", f"{_CROSS}.o", "layers.cross.o"),
    _scale(f"{_ATTN2}.norm_q", f"{_CROSS}.norm_q", "layers.cross.q_norm"),
    _scale(f"{_ATTN2}.norm_k", f"{_CROSS}.norm_k", "layers.cross.k_norm"),
    *_linear(f"{_ATTN2}.add_k_proj", f"{_CROSS}.k_img", "layers.cross.image.k"),
    *_linear(f"{_ATTN2}.add_v_proj", f"{_CROSS}.v_img", "layers.cross.image.v"),
    _scale(
        f"{_ATTN2}.norm_added_k", f"{_CROSS}.norm_k_img", "layers.cross.image.k_norm"
    ),
    *_linear(f"{_BLOCK}.ffn.net.0.proj", f"{_BLOCK}.ffn.0", "layers.mlp.inner"),
    *_linear(f"{_BLOCK}.ffn.net.2", f"{_BLOCK}.ffn.2", "layers.mlp.outer"),
    TensorNames("scale_shift_table", "head.modulation", "out.modulation", TABLE),
    *_linear("proj_out", "head.head", "out.linear"),
)

DIFFUSERS = tuple(Rule(row.diffusers, row.target, row.fix) for row in ROWS)
ORIGINAL = tuple(Rule(row.original, row.target, row.fix) for row in ROWS)


def config(source: dict, dtype: str) -> WanConfig:
    """Our config from diffusers' transformer/config.json."""
    return WanConfig(
        heads=source["num_attention_heads"],
        depth=source["num_layers"],
        mlp_width=source["ffn_dim"],
        head_width=source["attention_head_dim"],
        in_channels=source["in_channels"],
        out_channels=source["out_channels"] or source["in_channels"],
        text_width=source["text_dim"],
        time_width=source["freq_dim"],
        image_width=source.get("image_dim"),
        image_positions=source.get("pos_embed_seq_len"),
        patch=tuple(source["patch_size"]),
        cross_norm=source["cross_attn_norm"],
        epsilon=source["eps"],
        dtype=dtype,
    )


def original_config(source: dict, dtype: str) -> WanConfig:
    """Our config from the config.json of an original release.

    That file lacks the widths of text and images; `source` must also hold these,
    inferred from the tensors (see `inferred.transformer`).
    """
    heads = source["num_heads"]
    return WanConfig(
        heads=heads,
        depth=source["num_layers"],
        mlp_width=source["ffn_dim"],
        head_width=source["dim"] // heads,
        in_channels=source["in_dim"],
        out_channels=source["out_dim"],
        text_width=source.get("text_dim", 4096),
        image_width=source.get("image_dim"),
        image_positions=source.get("image_positions"),
        text_limit=source["text_len"],
        time_width=source["freq_dim"],
        epsilon=source["eps"],
        dtype=dtype,
    )
