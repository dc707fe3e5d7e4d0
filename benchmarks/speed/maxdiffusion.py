"""Times a forward pass of the Wan transformer against MaxDiffusion's, also in JAX.

    git clone https://github.com/AI-Hypercomputer/maxdiffusion
    python -m benchmarks.speed.maxdiffusion maxdiffusion/src

MaxDiffusion's requirements must be installed (it imports aqtp, chex, einops,
google-cloud-storage, ml_collections, qwix, tensorboardX and tokamax). Weights and
inputs are the same as in `benchmarks.speed.denoise`. Both libraries run on the CPU in
float32, in turns; the relative error is checked before anything is timed.
MaxDiffusion's attention is `dot_product`, and its layers are scanned as in its
configurations. `ratio` is our median time divided by theirs.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.torch
from flax import nnx
from jax.sharding import Mesh

from benchmarks.lib import older_processor, rows
from benchmarks.speed import denoise
from benchmarks.speed.pair import LAYERS, TEXT, WanPair

AXES = ("data", "fsdp", "context", "tensor")
INDEX = "diffusion_pytorch_model.safetensors.index.json"
SHARD = "diffusion_pytorch_model-00001-of-00001.safetensors"


def network(size: tuple[int, int, int], weights: dict[str, Any]) -> Any:
    """MaxDiffusion's transformer with weights of diffusers.

    Args:
        size: heads, head width and MLP width.
        weights: the state dict of diffusers' transformer.
    """
    from maxdiffusion.models.wan.transformers.transformer_wan import WanModel
    from maxdiffusion.models.wan.wan_utils import load_wan_transformer

    heads, head_width, mlp = size
    make = lambda: WanModel(
        nnx.Rngs(0),
        num_attention_heads=heads,
        attention_head_dim=head_width,
        ffn_dim=mlp,
        num_layers=LAYERS,
        text_dim=TEXT,
        attention="dot_product",
        mesh=mesh(),
    )
    split: Any = nnx.split
    graph, state, others = split(make(), nnx.Param, ...)
    with tempfile.TemporaryDirectory() as folder:
        safetensors.torch.save_file(weights, Path(folder) / SHARD)
        index = {"weight_map": dict.fromkeys(weights, SHARD)}
        (Path(folder) / INDEX).write_text(json.dumps(index))
        shapes = nnx.to_pure_dict(state)
        loaded = load_wan_transformer(
            folder, shapes, "cpu", hf_download=False, num_layers=LAYERS
        )
    nnx.replace_by_pure_dict(state, jax.tree.map(jnp.asarray, loaded))
    return nnx.merge(graph, state, others)


def mesh() -> Mesh:
    """A mesh of one device with MaxDiffusion's axes."""
    return Mesh(np.array(jax.devices()[:1]).reshape(1, 1, 1, 1), AXES)


def forward(pair: WanPair, model: Any) -> denoise.Things:
    """Functions that run one forward pass in each library, without guidance."""
    ours = denoise.forward(pair)["ours"]
    operands = (
        jnp.asarray(pair.latents),
        jnp.array([500.0]),
        jnp.asarray(pair.text[:1]),
    )
    call: Callable[..., Any] = nnx.jit(
        lambda model, latents, moment, text: model(latents, moment, text)
    )

    def reference() -> np.ndarray:
        with mesh():
            return denoise.channels_last(np.asarray(call(model, *operands)))

    return {"ours": ours, "theirs": reference}


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("source", type=Path, help="the src folder of a checkout")
    top.add_argument("--rounds", type=int, default=5)
    top.add_argument(
        "--limit",
        choices=older_processor.SETTINGS,
        help="the newest instruction set that the libraries may use",
    )
    options = top.parse_args()
    older_processor.limit(options.limit)
    rows.commit()  # rows need it: better to fail here than after minutes
    sys.path.insert(0, str(options.source))
    made = []
    for size in denoise.SIZES:
        pair = WanPair.of(size)
        with mesh():
            model = network(size, pair.reference.state_dict())
        things, label = forward(pair, model), f"forward_{pair.ours.config.width}"
        made.append(denoise.compare(label, pair, things, options.rounds))
    name = f"maxdiffusion_{options.limit}" if options.limit else "maxdiffusion"
    rows.update(name, made)
    print(rows.table(made, ("row", "seconds", "baseline_seconds", "ratio", "error")))
    print(rows.device())


if __name__ == "__main__":
    main()
