"""A Wan transformer with random weights, in diffusers and in this library."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from diffusers import WanTransformer3DModel

from chorus_jax.families.wan.dit import WanDiT
from convert import wan
from convert.modules import module_from

LAYERS, TEXT, LIMIT = 4, 512, 512
GRID = (5, 32, 32)  # latents; 5 x 16 x 16 = 1280 tokens
PROMPT, NEGATIVE = 40, 20  # tokens without padding


@dataclass(frozen=True)
class WanPair:
    """One transformer and its inputs, in diffusers and in this library.

    Attributes:
        reference: the network in diffusers.
        ours: the network in this library, with the same weights.
        latents: [b c f h w], in diffusers' layout.
        text: embeddings of prompt and negative prompt, [b m t].
    """

    reference: Any
    ours: WanDiT
    latents: np.ndarray
    text: np.ndarray

    @property
    def grid(self) -> tuple[int, int, int]:
        """The latent grid (f, h, w)."""
        f, h, w = self.latents.shape[2:]
        return f, h, w

    @classmethod
    def of(
        cls, size: tuple[int, int, int], grid: tuple[int, int, int] = GRID
    ) -> "WanPair":
        """A pair with random weights and inputs.

        Args:
            size: heads, head width and MLP width.
            grid: frames, height and width of the latents.
        """
        heads, head_width, mlp = size
        torch.manual_seed(0)
        model: Any = WanTransformer3DModel(
            num_attention_heads=heads,
            attention_head_dim=head_width,
            ffn_dim=mlp,
            num_layers=LAYERS,
            text_dim=TEXT,
        )
        model.eval()
        rng = np.random.default_rng(0)
        latents = rng.standard_normal((1, 16, *grid), np.float32)
        text = rng.standard_normal((2, LIMIT, TEXT), np.float32)
        text[0, PROMPT:], text[1, NEGATIVE:] = 0, 0
        return cls(model, converted(model), latents, text)


def converted(model: Any) -> WanDiT:
    """Our transformer with the weights of diffusers' transformer."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "weights.safetensors"
        safetensors.torch.save_file(model.state_dict(), file)
        config = wan.config(model.config, "float32")
        return module_from([file], wan.DIFFUSERS, WanDiT, config)
