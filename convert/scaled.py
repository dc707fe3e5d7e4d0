"""Weights in 8-bit floats with separate scales, which are read as float32.

ComfyUI keeps `X.weight` in float8 and one number in `X.scale_weight`. Newer files and
lightx2v's have `X.weight_scale` instead, with one number or one per row. Scales of
activations and markers (`scale_input`, `scaled_fp8`) do not affect weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from convert.tensors import SourceTensor

SCALES = (".scale_weight", ".weight_scale")
OF_ACTIVATIONS = (".scale_input", ".input_scale")
MARKERS = ("scaled_fp8", "comfy_quant")
FLOAT8 = ("float8_e4m3fn", "float8_e5m2")


@dataclass(frozen=True)
class ScaledTensor:
    """A tensor times its scale.

    Attributes:
        values: the tensor as stored, mostly float8.
        scale: one number, or one per row; None means 1.
        dtype: the dtype of the product.
    """

    values: SourceTensor
    scale: SourceTensor | None
    dtype: np.dtype = np.dtype(np.float32)

    @property
    def name(self) -> str:
        """The name of the stored tensor."""
        return self.values.name

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the stored tensor."""
        return self.values.shape

    @property
    def file(self) -> Path:
        """The file that contains the stored tensor."""
        return self.values.file

    def read(self, rows: slice = slice(None)) -> np.ndarray:
        """The tensor, or some rows of its first axis."""
        values = self.values.read(rows).astype(np.float32)
        if self.scale is None:
            return values
        scale = self.scale.read().astype(np.float32).reshape(-1)
        if len(scale) > 1:
            scale = scale[rows].reshape(-1, *(1,) * (values.ndim - 1))
        return values * scale


def unscaled(tensors: Mapping[str, SourceTensor]) -> dict[str, SourceTensor]:
    """The tensors of a file, with 8-bit tensors multiplied by their scales.

    Tensors of scales and markers are dropped. 8-bit integers without a scale are kept
    unchanged; no model accepts them.

    Raises:
        ValueError: for a scale that has neither one number nor one per row, or is not
            finite.
    """
    scaled: dict[str, SourceTensor] = {}
    for name, tensor in tensors.items():
        if name.endswith((*SCALES, *OF_ACTIVATIONS, *MARKERS)):
            continue
        scale = _scale(name, tensors)
        if scale is not None or tensor.dtype.name in FLOAT8:
            _check(tensor, scale)
            scaled[name] = ScaledTensor(tensor, scale)
        else:
            scaled[name] = tensor
    return scaled


def _scale(name: str, tensors: Mapping[str, SourceTensor]) -> SourceTensor | None:
    if not name.endswith(".weight"):
        return None
    stem = name.removesuffix(".weight")
    return next((tensors[stem + end] for end in SCALES if stem + end in tensors), None)


def _check(tensor: SourceTensor, scale: SourceTensor | None) -> None:
    count = 1 if scale is None else int(np.prod(scale.shape))
    if scale is not None and count not in (1, tensor.shape[0]):
        raise ValueError(
            f"{tensor.file}: {scale.name} has {count} numbers, expected one, or one "
            f"for each of the {tensor.shape[0]} rows of {tensor.name}"
        )
    if scale is not None and not np.isfinite(scale.read().astype(np.float32)).all():
        raise ValueError(
            f"{tensor.file} is damaged: {scale.name} is not finite everywhere"
        )
