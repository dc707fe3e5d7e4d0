"""`python -m convert FAMILY SRC DST` and back, `python -m convert export SRC DST`."""

import argparse
import logging
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from chorus_jax.checkpoints import Card
from convert.conversion import Order, Prepared, check, convert, prepare, work
from convert.export import TRANSFORMER, export, left_out, open_parts
from convert.family import FAMILIES


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    options = _parser().parse_args(arguments)
    # Orbax warns that there is nothing to merge, which is what we ask for.
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        options.run(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: stopped", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert", description=__doc__)
    names = " | ".join([*FAMILIES, "export"])
    commands = parser.add_subparsers(required=True, metavar=names)
    readers = []
    for name, family in FAMILIES.items():
        words = f"{family.title} weights to a checkpoint folder"
        reader = commands.add_parser(name, help=words)
        reader.add_argument("source", metavar="SRC", type=Path, help="as published")
        reader.add_argument(
            "--dtype", choices=("bfloat16", "float32"), default="bfloat16"
        )
        reader.add_argument(
            "--dry-run", action="store_true", help="say what would be written"
        )
        reader.set_defaults(run=_convert, family=name)
        readers.append(reader)
    back = commands.add_parser(
        "export", help="a checkpoint folder to diffusers' layout"
    )
    back.add_argument("source", metavar="SRC", type=Path, help="the checkpoint folder")
    back.add_argument(
        "--transformer",
        metavar="PART",
        default=TRANSFORMER,
        help="the part of SRC to export as the transformer, if it has several",
    )
    back.set_defaults(run=_export)
    for command in (*readers, back):
        command.add_argument("folder", metavar="DST", type=Path, help="must not exist")
        command.add_argument(
            "--verify", action="store_true", help="read both sides again and compare"
        )
    return parser


def _convert(options: argparse.Namespace) -> None:
    family = FAMILIES[options.family]
    source = family.open(options.source)
    parts = prepare(source, family.kinds, options.dtype)
    if options.dry_run:
        print(_table(parts))
        check(parts)
        return
    total = work(source, parts, 3 if options.verify else 1)
    with _bar(total) as bar:
        card = convert(source, parts, options.folder, Order(options.verify, _told(bar)))
    print(f"{options.folder}\n{_table(parts)}\nfingerprint {card.fingerprint}")
    if options.verify:
        print(f"verified: {_count(parts)} tensors are equal to the source's")


def _export(options: argparse.Namespace) -> None:
    kinds = FAMILIES[Card.read(options.source).family].kinds
    parts = open_parts(options.source, kinds, options.transformer)
    passes = 2 if options.verify else 1
    with _bar(passes * sum(part.nbytes for part in parts.values())) as bar:
        export(options.source, parts, options.folder, Order(options.verify, _told(bar)))
    arrays = sum(len(part.arrays) for part in parts.values())
    done = f", {arrays} arrays verified" if options.verify else ""
    print(f"{options.folder}: {', '.join(parts)} in diffusers' layout{done}")
    for name in left_out(options.source, parts):
        print(f"left out: {name} (see --transformer)")


def _bar(total: int) -> tqdm:
    return tqdm(total=total, unit="B", unit_scale=True, mininterval=0.5, disable=None)


def _told(bar: tqdm):
    lock = threading.Lock()

    def update(count: int) -> None:
        with lock:
            bar.update(count)

    return update


def _count(parts: Mapping[str, Prepared]) -> int:
    fills = (fill for part in parts.values() for fill in part.plan.fills.values())
    return sum(len(fill.tensors) for fill in fills)


def _table(parts: Mapping[str, Prepared]) -> str:
    """A line a part: its tensors, parameters, size and dtype."""
    lines = [
        f"  {name}: {len(part.plan.fills)} arrays, {part.parameters:,} parameters, "
        f"{part.nbytes / 1e9:.3f} GB, {part.module.config.dtype}"
        for name, part in parts.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
