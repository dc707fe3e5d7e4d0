"""Command-line options for the source of weights."""

import argparse
from pathlib import Path

from chorus_jax.checkpoints import card, shipped
from convert.adapters import Adapter, merged
from convert.dtypes import DEFAULT
from convert.families import Convertible
from convert.parts_apart import PartsApart
from convert.source import OPTIONAL, PARTS, Source


def path(text: str) -> Path:
    """Parses a path. Refuses "", which `Path` reads as the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("expected a path, got an empty text")
    return Path(text)


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Adds options for separate files of parts, variants, LoRAs and dtypes."""
    for name in (*PARTS, *OPTIONAL):
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar="FILE",
            type=path,
            help="the file or folder of this part, if SRC lacks it or has another",
        )
    parser.add_argument(
        "--tokenizer",
        metavar="PATH",
        type=path,
        help="a folder, a tokenizer.json or a spiece.model",
    )
    parser.add_argument(
        "--scheduler", metavar="FILE", type=path, help="a scheduler_config.json"
    )
    parser.add_argument(
        "--variant", help="which of several precisions in SRC, such as fp16"
    )
    parser.add_argument(
        "--state",
        help="which of several state dicts in the transformer's .pt, such as "
        "generator_ema",
    )
    parser.add_argument(
        "--lora",
        metavar="[high=|low=]FILE[:STRENGTH]",
        action="append",
        default=[],
        help="merged into the transformer; may be given several times",
    )
    parser.add_argument(
        "--lora-skip-missing",
        action="store_true",
        help="leave out what a LoRA has and the model lacks",
    )
    parser.add_argument(
        "--dtype",
        default=DEFAULT,
        help="what weights are stored in: DTYPE, PART=DTYPE or a list of these "
        f"(default: {DEFAULT})",
    )


def opened(options: argparse.Namespace, family: Convertible) -> Source:
    """Opens the source that the options describe.

    Raises:
        ValueError: for a source that the family cannot open, LoRAs that do not fit or
            are not supported by the family, or a model that is already converted.
    """
    check_published(options.source)
    parts = {name: getattr(options, name) for name in (*PARTS, *OPTIONAL)}
    given = PartsApart(
        {name: path for name, path in parts.items() if path is not None},
        options.tokenizer,
        options.scheduler,
        options.variant,
        options.state,
    )
    source = family.open(options.source, given)
    adapters = [Adapter.parse(text) for text in options.lora]
    return merged(source, adapters, options.lora_skip_missing)


def check_published(source: Path) -> None:
    """Raises a ValueError for a source that is a checkpoint folder or shipped
    weights."""
    named = not source.exists() and str(source) in shipped.names()
    if named or (source / card.NAME).is_file():
        raise ValueError(
            f"{source} is converted already: give it to --weights, or write it in "
            f"diffusers' layout with `chorus export {source} DST`"
        )
