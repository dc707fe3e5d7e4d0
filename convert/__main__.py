"""`python -m convert FAMILY SRC DST` and back, `python -m convert export SRC DST`.

Installed they are `chorus convert SRC DST` and `chorus export SRC DST`.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chorus_jax.checkpoints import Card
from convert import dtypes
from convert.conversion import Order, Prepared, check, convert, prepare, work
from convert.export import TRANSFORMER, export, left_out, open_parts
from convert.families import FAMILIES, Convertible, family_of
from convert.fit import check_fit
from convert.progress import counting, shown
from convert.source_options import add_sources, opened
from convert.trial import trial

OnStart = Callable[[Path], None]  # is called with a folder before it is written


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    return _run(_parser().parse_args(arguments), "error", lambda _: None)


def command(name: str, arguments: Sequence[str], on_start: OnStart) -> int:
    """Runs `chorus convert` or `chorus export`; returns the exit code.

    Args:
        name: `convert` or `export`.
        arguments: those after the name.
        on_start: is called with the folder that will be written.
    """
    what = {"convert": CONVERT, "export": EXPORT}[name]
    parser = argparse.ArgumentParser(prog=f"chorus {name}", description=what)
    (_add_convert if name == "convert" else _add_export)(parser)
    return _run(parser.parse_args(arguments), "chorus", on_start)


def _run(options: argparse.Namespace, prefix: str, on_start: OnStart) -> int:
    # Orbax warns that there is nothing to merge, which is what we ask for.
    logging.getLogger("absl").setLevel(logging.ERROR)
    try:
        on_start(options.folder)
        options.run(options)
    except (ValueError, OSError) as error:
        print(f"{prefix}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{prefix}: stopped", file=sys.stderr)
        return 130
    return 0


CONVERT = "Wan or LTX-Video weights, as published, to a checkpoint folder"
EXPORT = "a checkpoint folder to diffusers' layout"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert", description=__doc__)
    commands = parser.add_subparsers(
        required=True, metavar=" | ".join([*FAMILIES, "export"])
    )
    for name, family in FAMILIES.items():
        words = f"{family.title} weights, as published, to a checkpoint folder"
        _add_convert(commands.add_parser(name, help=words), family)
    _add_export(commands.add_parser("export", help=EXPORT))
    return parser


def _add_convert(
    reader: argparse.ArgumentParser, family: Convertible | None = None
) -> None:
    """`family` is that of the weights; None to see it from the source."""
    reader.add_argument(
        "source",
        metavar="SRC",
        type=Path,
        help="a folder as published, or a transformer's file",
    )
    add_sources(reader)
    reader.add_argument(
        "--dry-run", action="store_true", help="say what would be written"
    )
    reader.set_defaults(run=_convert, family=family)
    _add_target(reader)


def _add_export(back: argparse.ArgumentParser) -> None:
    back.add_argument("source", metavar="SRC", type=Path, help="the checkpoint folder")
    back.add_argument(
        "--transformer",
        metavar="PART",
        default=TRANSFORMER,
        help="the part of SRC to export as the transformer, if it has several",
    )
    back.set_defaults(run=_export)
    _add_target(back)


def _add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="DST", type=Path, help="must not exist")
    command.add_argument(
        "--verify", action="store_true", help="read both sides again and compare"
    )


def _convert(options: argparse.Namespace) -> None:
    family = options.family or family_of(options.source)
    source = opened(options, family)
    parts = prepare(source, family.kinds, dtypes.parse(options.dtype, family.kinds))
    if options.dry_run:
        print(_table(parts))
        check(parts)
        check_fit(source, parts)
        return
    total = work(source, parts, 3 if options.verify else 1)
    tried: list[str] = []
    with shown(total) as bar:
        order = Order(options.verify, counting(bar))
        if options.verify:
            order = replace(order, trial=lambda folder: tried.append(trial(folder)))
        card = convert(source, parts, options.folder, order)
    print(f"{options.folder}\n{_table(parts)}\nfingerprint {card.fingerprint}")
    if options.verify:
        print(f"verified: {_count(parts)} tensors are equal to the source's")
        print(f"tried: {tried[0]}")


def _export(options: argparse.Namespace) -> None:
    kinds = FAMILIES[Card.read(options.source).family].kinds
    parts = open_parts(options.source, kinds, options.transformer)
    passes = 2 if options.verify else 1
    with shown(passes * sum(part.nbytes for part in parts.values())) as bar:
        export(
            options.source, parts, options.folder, Order(options.verify, counting(bar))
        )
    arrays = sum(len(part.arrays) for part in parts.values())
    done = f", {arrays} arrays verified" if options.verify else ""
    print(f"{options.folder}: {', '.join(parts)} in diffusers' layout{done}")
    for name in left_out(options.source, parts):
        print(f"left out: {name} (see --transformer)")


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
