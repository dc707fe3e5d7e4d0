"""The command line of conversion and export.

`python -m convert FAMILY SRC DST` converts, `python -m convert export SRC DST` exports.
The installed program has both as `chorus convert SRC DST` and `chorus export SRC DST`.
"""

import argparse
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from chorus_jax.checkpoints import Card, shipped
from convert import dtypes
from convert.conversion import Order, Prepared, check, convert, prepare, work
from convert.export import TRANSFORMER, export, left_out, open_parts
from convert.families import FAMILIES, Convertible, family_of
from convert.fit import check_fit
from convert.progress import counting, shown
from convert.source_options import add_sources, opened, path
from convert.trial import trial

OnStart = Callable[[Path], None]  # called with the target folder before it is written


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    try:
        _run(_parser().parse_args(arguments), lambda _: None)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: stopped", file=sys.stderr)
        return 130
    return 0


def command(
    name: str,
    arguments: Sequence[str],
    on_start: OnStart,
    make_parser: type[argparse.ArgumentParser],
) -> None:
    """Runs `chorus convert` or `chorus export`.

    Args:
        name: `convert` or `export`.
        arguments: the arguments after the name.
        on_start: called with the target folder before it is written.
        make_parser: the class of the argument parser.

    Raises:
        ValueError: for a source that cannot be converted.
        OSError: for a file that cannot be read or written.
    """
    what = {"convert": CONVERT, "export": EXPORT}[name]
    parser = make_parser(prog=f"chorus {name}", description=what)
    (_add_convert if name == "convert" else _add_export)(parser)
    _run(parser.parse_args(arguments), on_start)


def _run(options: argparse.Namespace, on_start: OnStart) -> None:
    # Hides Orbax's warning that there is nothing to merge, which is intended here.
    logging.getLogger("absl").setLevel(logging.ERROR)
    on_start(options.folder)
    options.run(options)


CONVERT = "Wan, LTX-Video or LTX-2 weights, as published, to a checkpoint folder"
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
    """Adds the options of `convert`; without a family the source decides it."""
    reader.add_argument(
        "source",
        metavar="SRC",
        type=path,
        help="a folder as published, or a transformer's file",
    )
    add_sources(reader)
    reader.add_argument(
        "--dry-run", action="store_true", help="say what would be written"
    )
    reader.set_defaults(run=_convert, family=family)
    _add_target(reader)


def _add_export(back: argparse.ArgumentParser) -> None:
    back.add_argument(
        "source",
        metavar="SRC",
        help="the checkpoint folder, or the name of shipped weights",
    )
    back.add_argument(
        "--transformer",
        metavar="PART",
        default=TRANSFORMER,
        help="the part of SRC to export as the transformer, if it has several",
    )
    back.set_defaults(run=_export)
    _add_target(back)


def _add_target(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", metavar="DST", type=path, help="must not exist")
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
    source = shipped.locate(options.source)
    kinds = FAMILIES[Card.read(source).family].kinds
    parts = open_parts(source, kinds, options.transformer)
    passes = 2 if options.verify else 1
    with shown(passes * sum(part.nbytes for part in parts.values())) as bar:
        export(source, parts, options.folder, Order(options.verify, counting(bar)))
    arrays = sum(len(part.arrays) for part in parts.values())
    done = f", {arrays} arrays verified" if options.verify else ""
    print(f"{options.folder}: {', '.join(parts)} in diffusers' layout{done}")
    for name in left_out(source, parts):
        print(f"left out: {name} (see --transformer)")


def _count(parts: Mapping[str, Prepared]) -> int:
    fills = (fill for part in parts.values() for fill in part.plan.fills.values())
    return sum(len(fill.tensors) for fill in fills)


def _table(parts: Mapping[str, Prepared]) -> str:
    """One line per part: its tensors, parameters, size and dtype."""
    lines = [
        f"  {name}: {len(part.plan.fills)} arrays, {part.parameters:,} parameters, "
        f"{part.nbytes / 1e9:.3f} GB, {part.module.config.dtype}"
        for name, part in parts.items()
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
