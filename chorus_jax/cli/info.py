"""`chorus info`: versions, devices, weights and the memory they need."""

import argparse
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import jax

from chorus_jax import checkpoints
from chorus_jax.checkpoints import shipped
from chorus_jax.devices.compilation import enable_cache
from chorus_jax.families.registry import family_of

PACKAGES = ("chorus_jax", "jax", "jaxlib", "flax", "orbax-checkpoint", "transformers")
GIB = 2**30


def show_info(options: argparse.Namespace) -> None:
    """Runs `chorus info`: prints all lines."""
    weights = None if options.weights is None else shipped.locate(options.weights)
    if weights is not None:
        checkpoints.Card.read(weights)  # before anything that takes time
    for name, value in list(lines(weights)):  # all lines, or nothing but an error
        print(f"{name:22}{value}")


def lines(weights: Path | None) -> Iterator[tuple[str, str]]:
    """Names and values to print, for the weights in a folder.

    Args:
        weights: a checkpoint folder; None for all shipped weights.

    Raises:
        ValueError: if the folder holds no checkpoint.
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
    """Names and values for one checkpoint folder, such as its fingerprint."""
    card = checkpoints.Card.read(folder)
    yield "weights", f"{folder} ({card.family})"
    yield "fingerprint", card.fingerprint
    defaults = family_of(folder).defaults(folder)
    yield "settings", defaults.source
    yield from family_of(folder).lines(folder)


def version(package: str) -> str:
    """The installed version of a package."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
