"""Reads LoRA files: the tensors that they change, and the changes.

Supported are module names of diffusers and the original ones, with dots or underscores;
`lora_down`/`lora_up` and `lora_A`/`lora_B` with `.alpha`; and the differences in LoRAs
of distilled Wans: `.diff` (of a weight), `.diff_b` (of a bias) and `.diff_m` (of a
block's modulation).
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chorus_jax import json_file
from convert.tensors import SourceTensor, metadata
from convert.weight_files import read_weights

PREFIXES = (
    *("base_model.model.", "model.diffusion_model.", "diffusion_model."),
    *("transformer.", "transformer_2.", "lora_unet_", "lora_transformer_"),
    "connectors.",
)
DOWN, UP, ALPHA = "down", "up", "alpha"
ENDS = {
    **dict.fromkeys((".lora_down.weight", ".lora.down.weight"), DOWN),
    **dict.fromkeys((".lora_A.weight", ".lora_A.default.weight"), DOWN),
    **dict.fromkeys((".lora_up.weight", ".lora.up.weight"), UP),
    **dict.fromkeys((".lora_B.weight", ".lora_B.default.weight"), UP),
    ".alpha": ALPHA,
}
# The tensor of a module that each kind of difference changes.
DIFFERENCES = {".diff_b": "bias", ".diff_m": "modulation", ".diff": "weight"}
ROWS = 4096  # rows of a tensor that are read at once
METADATA = "lora_adapter_metadata"  # in the header of diffusers' files
PEFT_STEM, PEFT_CONFIG = "adapter_model", "adapter_config.json"


@dataclass(frozen=True)
class LowRank:
    """A change `scale * up @ down` of a weight.

    Attributes:
        up: [out r], with further axes of size 1 for a convolution.
        down: [r in], with the further axes of a convolution.
        scale: the strength times alpha divided by the rank r.
    """

    up: SourceTensor
    down: SourceTensor
    scale: float

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether the change applies to a weight of this shape."""
        up, down = self.up.shape, self.down.shape
        same = bool(shape) and up[0] == shape[0] and up[1] == down[0]
        return same and math.prod(down[1:]) == math.prod(shape[1:])

    def read(self, rows: slice) -> np.ndarray:
        """Rows of the change that the LoRA makes to the weight, in float32."""
        up = self.up.read(rows).astype(np.float32)
        down = self.down.read().astype(np.float32)
        change = up.reshape(len(up), -1) @ down.reshape(len(down), -1)
        return self.scale * change


@dataclass(frozen=True)
class Addition:
    """A change `scale * values` of a tensor of the same shape.

    Attributes:
        values: the tensor in the adapter's file.
        scale: a finite factor.
    """

    values: SourceTensor
    scale: float

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether the change applies to a tensor of this shape."""
        return self.values.shape == shape

    def read(self, rows: slice) -> np.ndarray:
        """Rows of the change that the LoRA makes to the weight, in float32."""
        return self.scale * self.values.read(rows).astype(np.float32)


Change = LowRank | Addition


@dataclass
class _Module:
    """The tensors of a LoRA file that belong to one module."""

    tensors: dict[str, SourceTensor] = field(default_factory=dict)
    differences: dict[str, SourceTensor] = field(default_factory=dict)


def changes(file: Path, strength: float) -> dict[tuple[str, str], Change]:
    """The changes in a LoRA file.

    Args:
        file: the LoRA.
        strength: a factor on all changes.

    Returns:
        The changes by the module's name in the file, without a prefix, and the name of
        its tensor, such as `weight`.

    Raises:
        ValueError: if the file is no LoRA, is damaged, or has unsupported keys; for a
            tensor with values that are not finite, naming it.
    """
    modules = _modules(file)
    for module in modules.values():
        for tensor in (*module.tensors.values(), *module.differences.values()):
            _check_finite(file, tensor)
    scales = _stored_scale(file)
    entries: dict[tuple[str, str], Change] = {}
    for name, module in modules.items():
        for what, tensor in module.differences.items():
            entries[name, what] = Addition(tensor, strength)
        if DOWN in module.tensors or UP in module.tensors:
            entries[name, "weight"] = _low_rank(file, name, module, strength, scales)
    return entries


def _low_rank(
    file: Path, name: str, module: _Module, strength: float, usual: float
) -> LowRank:
    up, down = module.tensors.get(UP), module.tensors.get(DOWN)
    if up is None or down is None or min(len(up.shape), len(down.shape)) < 2:
        raise ValueError(f"{file} is damaged: {name} has not both halves of a LoRA")
    scale, alpha = usual, module.tensors.get(ALPHA)
    if alpha is not None:
        if math.prod(alpha.shape) != 1 or not down.shape[0]:
            raise ValueError(
                f"{file} is damaged: {name} has the alpha {list(alpha.shape)} and the "
                f"rank {down.shape[0]}"
            )
        scale = float(alpha.read().astype(np.float32).reshape(())) / down.shape[0]
    if not math.isfinite(scale):
        raise ValueError(f"{file} is damaged: the scale of {name} is {scale}")
    if not scale:
        raise ValueError(
            f"{file}: the alpha of {name} is 0, so that it changes nothing; some "
            "programs take the rank in its place: write the alpha that is meant, or "
            "leave the module out"
        )
    return LowRank(up, down, strength * scale)


def _check_finite(file: Path, tensor: SourceTensor) -> None:
    """Raises a ValueError for a tensor with values that are NaN or infinite."""
    rows = [slice(None)]
    if tensor.shape:
        rows = [slice(i, i + ROWS) for i in range(0, tensor.shape[0], ROWS)]
    bad = sum(int((~np.isfinite(tensor.read(part))).sum()) for part in rows)
    if bad:
        raise ValueError(
            f"{file} is damaged: {tensor.name} holds {bad} values that are NaN or "
            "infinite"
        )


def _modules(file: Path) -> dict[str, _Module]:
    modules: dict[str, _Module] = {}
    unread, ranked = [], False
    for key, tensor in read_weights([file]).items():
        end = next((end for end in ENDS if key.endswith(end)), None)
        other = next((end for end in DIFFERENCES if key.endswith(end)), None)
        if end is not None:
            module = modules.setdefault(_plain(key.removesuffix(end)), _Module())
            _put(file, key, module.tensors, ENDS[end], tensor)
            ranked = True
        elif other is not None:
            module = modules.setdefault(_plain(key.removesuffix(other)), _Module())
            _put(file, key, module.differences, DIFFERENCES[other], tensor)
            ranked = True
        else:
            unread.append(key)
    if not ranked:
        some = ", ".join(unread[:3]) or "no tensors"
        raise ValueError(
            f"{file} is no LoRA: none of its keys ends in {', '.join(ENDS)} (it has "
            f"{some})"
        )
    if unread:
        raise ValueError(
            f"{file} is an adapter of another kind than LoRA: {len(unread)} keys are "
            f"not read, such as {', '.join(unread[:3])}"
        )
    return modules


def _put(
    file: Path, key: str, of: dict[str, SourceTensor], role: str, tensor: SourceTensor
) -> None:
    """Adds a tensor to a module's tensors. Raises a ValueError if the role is taken."""
    if role in of:
        raise ValueError(f"{file} is damaged: {key} and {of[role].name} are the same")
    of[role] = tensor


def _plain(name: str) -> str:
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    return name.removeprefix("_")


def _stored_scale(file: Path) -> float:
    """Alpha divided by rank for modules without an alpha tensor.

    It is read from diffusers' metadata in the file, or from PEFT's adapter_config.json
    beside an adapter_model.safetensors; 1 if there is neither.
    """
    text, beside = metadata(file).get(METADATA), file.with_name(PEFT_CONFIG)
    if text is None and file.stem == PEFT_STEM and beside.is_file():
        text = json_file.text_of(beside)
    if text is None:
        return 1.0
    try:
        content = json_file.parsed(text).items()
        fields = {key.rpartition(".")[2]: value for key, value in content}
        alpha = fields.get("lora_alpha", 1)
        scale = float(alpha / fields.get("r", alpha))
    except (ArithmeticError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{file}: its LoRA metadata are damaged: {error}") from error
    strange = [
        name
        for name in ("alpha_pattern", "rank_pattern", "use_dora", "use_rslora")
        if fields.get(name)
    ]
    if strange:
        raise ValueError(
            f"{file} is a LoRA with {', '.join(strange)}, which is not read"
        )
    return scale


def aliases(
    names: Mapping[str, SourceTensor], translated: Mapping[str, str]
) -> dict[tuple[str, str], str]:
    """The tensors of a model under all names that LoRA files may use for them.

    Args:
        names: the model's tensors by name.
        translated: the names of some of them in the other layout.

    Returns:
        The name in the model, by module and tensor (such as `weight`).
    """
    entries = {}
    for name in names:
        for alias in (name, translated.get(name, name)):
            module, _, what = alias.rpartition(".")
            for key in _keys(module):
                entries[key, what] = name
    return entries


def _keys(module: str) -> Iterator[str]:
    yield module
    yield module.replace(".", "_")
