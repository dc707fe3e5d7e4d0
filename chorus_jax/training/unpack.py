"""Takes a finished model apart, to train it further.

What a checkpoint folder does not hold is initialised again: the optimiser's state, the
average (which starts at the parameters) and the number of steps.
"""

import filecmp
import shutil
from dataclasses import replace
from pathlib import Path

import jax.numpy as jnp

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card, aside, names
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.dit import WanDiT
from chorus_jax.families.wan.sizes import Sizes
from chorus_jax.families.wan.vae import WanVAE
from chorus_jax.families.wan.vae_config import WanVAEConfig
from chorus_jax.nets.t5 import T5Config, T5Encoder
from chorus_jax.training.assemble import FAMILY
from chorus_jax.training.deepen import deepened
from chorus_jax.training.initial_flow import TEXT, TRANSFORMER, initial_readers
from chorus_jax.training.params import Params, named_part
from chorus_jax.training.vae import PART as VAE

FLOW = {TRANSFORMER: (WanDiT, WanConfig), TEXT: (T5Encoder, T5Config)}


def check_sizes(weights: Path, transformer: WanConfig, encoder: T5Config) -> None:
    """Raises a ValueError unless a checkpoint folder's models have these configs.

    Its transformer may have fewer layers: see `deepen.py`.
    """
    stored = Sizes.read(weights)
    depth = min(stored.transformer.depth, transformer.depth)
    pairs = (
        (replace(transformer, depth=depth), stored.transformer),
        (encoder, stored.text_encoder),
    )
    for ours, reference in pairs:
        if replace(ours, dtype=reference.dtype) != reference:
            raise ValueError(
                f"{weights} was trained with {reference}, but the recipe has {ours}: "
                "give a recipe of the same sizes, or train from nothing"
            )


def flow_params(weights: Path, transformer: WanConfig, seed: int) -> Params:
    """The parameters of a checkpoint folder's transformer and text encoder, in float32.

    The transformer is deepened to the depth of the given config. The linear maps that
    predict targets in training are not in such a folder and start anew.
    """
    sizes = Sizes.read(weights)
    params: Params = initial_readers(sizes.transformer, sizes.text_encoder)
    for part, classes in FLOW.items():
        module = checkpoints.load(weights, part, *classes, dtype="float32")
        arrays = {k: jnp.asarray(x, jnp.float32) for k, x in names(module).items()}
        params.update(named_part(part, arrays))
    return deepened(params, sizes.transformer.depth, transformer, seed)


def unpack_vae(weights: Path, target: Path) -> None:
    """Writes the VAE of a checkpoint folder as a separate folder, if it is not there.

    Raises a ValueError if that folder holds another VAE.
    """
    vae = checkpoints.load(weights, VAE, WanVAE, WanVAEConfig, dtype="float32")
    if not target.exists():
        checkpoints.save(target, {VAE: vae}, family=FAMILY)
    elif Card.read(target).part(VAE).fingerprint != checkpoints.digested(vae):
        raise ValueError(_another(target, weights))


def unpack_tokenizer(weights: Path, target: Path) -> None:
    """Copies the tokenizer of a checkpoint folder, if it is not there.

    Raises a ValueError if there is another one.
    """
    source = weights / "tokenizer"
    if not target.exists():
        with aside(target) as partial:
            shutil.copytree(source, partial, dirs_exist_ok=True)
        return
    paths = [path for path in source.rglob("*") if path.is_file()]
    files = [str(path.relative_to(source)) for path in paths]
    same, *_ = filecmp.cmpfiles(source, target, files, shallow=False)
    if len(same) != len(files):
        raise ValueError(_another(target, weights))


def _another(target: Path, weights: Path) -> str:
    return (
        f"{target} is not that of {weights}: it is of another model, or incomplete; "
        "remove it, or name a new folder with --out"
    )
