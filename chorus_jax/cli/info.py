"""What `chorus info` says: versions, devices, weights and the memory they need."""

import math
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from chorus_jax import checkpoints
from chorus_jax.checkpoints import shipped
from chorus_jax.devices import sharding
from chorus_jax.devices.compilation import enable_cache
from chorus_jax.families.wan.config import WanConfig
from chorus_jax.families.wan.parts import (
    PARTS,
    TRANSFORMER,
    Sizes,
    further_transformers,
)
from chorus_jax.nets.attention import Choice, choose
from chorus_jax.nets.kernel_choice import REGION, TEXT, region_choice, text_choice

PACKAGES = ("chorus_jax", "jax", "jaxlib", "flax", "orbax-checkpoint", "transformers")
GIB = 2**30


def lines(weights: Path | None) -> Iterator[tuple[str, str]]:
    """Names and values, a line each; without `weights`, of all that are shipped.

    ValueError if `weights` holds no checkpoint.
    """
    yield "python", platform.python_version()
    for package in PACKAGES:
        yield package, version(package)
    for device in jax.devices():
        memory = (device.memory_stats() or {}).get("bytes_limit")
        room = f", {memory / GIB:.1f} GiB" if memory else ""
        yield f"device {device.id}", f"{device.device_kind} ({device.platform}{room})"
    yield "compiled programs", str(enable_cache() or "no folder can be written")
    shown = [shipped.folder(name) for name in shipped.names()]
    for folder in shown if weights is None else [weights]:
        yield from weight_lines(folder)
    if weights is None and not shown:
        yield "weights", "none came with this installation"


def weight_lines(folder: Path) -> Iterator[tuple[str, str]]:
    """What a checkpoint folder holds, and how it will be computed here."""
    card, sizes = checkpoints.Card.read(folder), Sizes.read(folder)
    yield "weights", f"{folder} ({card.family})"
    yield "fingerprint", card.fingerprint
    total = 0
    for name, (model, _) in PARTS.items():
        text, size = described(model, getattr(sizes, name))
        total += size
        yield name, text
    for name in further_transformers(card):
        other = Sizes.read(folder, name).transformer
        text, _ = described(PARTS[TRANSFORMER][0], other)
        yield name, f"{text} (in place of {TRANSFORMER})"
    yield "memory, weights only", f"{total / GIB:.3f} GiB"
    yield from attention_lines(sizes.transformer)


def attention_lines(config: WanConfig) -> Iterator[tuple[str, str]]:
    """What attends here: over all tokens, of a region's tokens, over the text."""
    here, kind = sharding.platform(), jnp.dtype(config.dtype)
    heads = (config.heads, config.head_width)
    rows = lambda *shape: jax.ShapeDtypeStruct((1, *shape, *heads), kind)
    tile, tokens = rows(1, math.prod(config.tile)), rows(math.prod(config.tile))
    for name, kernel, choice, biased in [
        ("self", "", Choice(None, ""), False),
        ("region", REGION, region_choice(tile, tile), False),
        ("cross", TEXT, text_choice(tokens, rows(config.text_limit)), True),
    ]:
        plain = choose(here, kind, biased)
        found = f"{kernel} {choice.name!r}" if choice.name else plain.name
        why = choice.reason or plain.reason
        yield f"{name}-attention", f"{found} ({here}, {kind}; {why})"


def described(model: type, config: Any) -> tuple[str, int]:
    """A part in words, and its size in bytes."""
    leaves = jax.tree.leaves(checkpoints.abstract(model, config))
    size = sum(x.size * x.dtype.itemsize for x in leaves)
    count = sum(x.size for x in leaves)
    words = f"{model.__name__}, {count:,} x {config.dtype}, {size / GIB:.3f} GiB"
    return words, size


def version(package: str) -> str:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
