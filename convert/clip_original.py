"""Translates the CLIP file of Wan 2.1 I2V to the names of transformers.

`models_clip_open-clip-xlm-roberta-large-vit-huge-14.pth` keeps queries, keys and values
of its image encoder (`visual`) in one tensor, and has a text encoder that Wan ignores.
Source: Wan-Video/Wan2.1, wan/modules/clip.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convert.tensors import SourceTensor

MARKER = "visual.cls_embedding"
UNREAD = ("textual.", "log_scale", "visual.head")

_NAMES = (
    ("pre_norm.", "pre_layrnorm."),
    ("post_norm.", "post_layernorm."),
    ("patch_embedding.", "embeddings.patch_embedding."),
    ("transformer.", "encoder.layers."),
    (".attn.proj.", ".self_attn.out_proj."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
    (".mlp.0.", ".mlp.fc1."),
    (".mlp.2.", ".mlp.fc2."),
)
_TABLES = {
    "cls_embedding": "embeddings.class_embedding",
    "pos_embedding": "embeddings.position_embedding.weight",
}


@dataclass(frozen=True)
class SlicedTensor:
    """A range of rows of a tensor (on its first axis), as a tensor of its own.

    Attributes:
        name: the name of the slice.
        full: the whole tensor.
        start: the first row.
        stop: the row after the last.
    """

    name: str
    full: SourceTensor
    start: int
    stop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the slice."""
        return (self.stop - self.start, *self.full.shape[1:])

    @property
    def dtype(self) -> np.dtype:
        """The dtype of the whole tensor."""
        return self.full.dtype

    @property
    def file(self) -> Path:
        """The file that contains the whole tensor."""
        return self.full.file

    def read(self, rows: slice = slice(None)) -> np.ndarray:
        """The slice, or some of its rows."""
        start, stop, _ = rows.indices(self.stop - self.start)
        return self.full.read(slice(self.start + start, self.start + stop))


def renamed(tensors: Mapping[str, SourceTensor]) -> dict[str, SourceTensor]:
    """The image encoder's tensors under the names of transformers' CLIPVisionModel."""
    return {
        tensor.name: tensor
        for name, full in tensors.items()
        if not name.startswith(UNREAD)
        for tensor in _tensors(name.removeprefix("visual."), full)
    }


def _tensors(name: str, full: Any) -> Iterator[SourceTensor]:
    if name in _TABLES:
        # [1, 1, c] or [1, n, c] there; the class embedding is [c] here.
        shape = full.shape[-1:] if name == "cls_embedding" else full.shape[1:]
        yield replace(full, name=_TABLES[name], shape=shape)
        return
    for original, ours in _NAMES:
        name = name.replace(original, ours, 1)
    if ".attn.to_qkv." not in name:
        yield replace(full, name=name)
        return
    step = full.shape[0] // 3
    for i, letter in enumerate("qkv"):
        part = name.replace(".attn.to_qkv.", f".self_attn.{letter}_proj.")
        yield SlicedTensor(part, full, i * step, (i + 1) * step)
