"""Writes the trained parts as one checkpoint folder, which `Pipeline.load` reads."""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flax import nnx

from chorus_jax import checkpoints
from chorus_jax.checkpoints import Card, abstract, aside
from chorus_jax.schedulers.flow import TRAIN_STEPS
from chorus_jax.training.params import Params, assembled

FAMILY = "wan"
# Bytes of equal significance lie together: bfloat16 takes three quarters of its size.
COMPRESSOR = {"id": "blosc", "cname": "zstd", "clevel": 9, "shuffle": 1}


def stored_part(
    part: str, model: type[nnx.Module], config: Any, params: Params, dtype: str
) -> nnx.Module:
    """A module of trained parameters, in the dtype that it will be stored in."""
    return assembled(part, params, abstract(model, replace(config, dtype=dtype)))


def write_model(
    folder: Path,
    parts: Mapping[str, Any],
    tokenizer: Path,
    scheduler: Mapping[str, Any] | None = None,
) -> Card:
    """Writes parts and tokenizer as a new folder. Raises a ValueError if it exists."""
    with aside(folder) as partial:
        complete = partial / "whole"
        card = checkpoints.save(
            complete,
            parts,
            family=FAMILY,
            scheduler=scheduler,
            compressor=COMPRESSOR,
        )
        for path in complete.iterdir():
            path.rename(partial / path.name)
        complete.rmdir()
        shutil.copytree(tokenizer, partial / "tokenizer")
    return card


def euler_scheduler(shift: float) -> dict[str, Any]:
    """The scheduler_config.json of diffusers' Euler solver with this shift."""
    return {
        "_class_name": "FlowMatchEulerDiscreteScheduler",
        "num_train_timesteps": TRAIN_STEPS,
        "shift": shift,
    }
