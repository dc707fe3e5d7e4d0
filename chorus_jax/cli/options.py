"""The commands of `chorus` and their options. Nothing heavy is imported here."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chorus_jax.cli.calibrate_options import add_calibrate, add_calibrate_cache
from chorus_jax.cli.fit_options import add_fit
from chorus_jax.cli.generate_options import WEIGHTS, add_generate
from chorus_jax.cli.one_line import OneLineParser, name, path

TOP_OPTIONS = ("-h", "--help", "--version")  # options that need no command


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parses a command and its options. Ends the process if they are not understood."""
    top = parser()
    first = arguments[0] if arguments else ""
    if first.startswith("-") and first not in TOP_OPTIONS:
        top.error(f"unknown: {first}")  # else a missing command is reported
    options, unknown = top.parse_known_args(arguments)
    if unknown:
        top.prog = f"chorus {options.name}"
        top.error(f"unknown: {' '.join(unknown)}")
    return options


def parser() -> OneLineParser:
    """The parser of all commands and their options."""
    top = OneLineParser(
        prog="chorus", description="Text to video, reusing earlier requests."
    )
    top.add_argument("--version", action=Version, help="print the version and exit")
    commands = top.add_subparsers(required=True, metavar="COMMAND", dest="name")
    add_generate(commands)
    add_cache(commands)
    add_calibrate(commands)
    add_calibrate_cache(commands)
    add_demo(commands)
    add_info(commands)
    add_fit(commands)
    commands.add_parser("convert", help="PyTorch weights to a checkpoint folder")
    commands.add_parser("export", help="a checkpoint folder to diffusers' layout")
    return top


class Version(argparse.Action):
    """The option `--version`, which imports the version only when it is given."""

    def __init__(self, option_strings: list[str], dest: str, help: str):
        super().__init__(option_strings, dest, nargs=0, help=help)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        import chorus_jax

        print(f"chorus_jax {chorus_jax.__version__}")
        parser.exit()


def add_cache(commands: Any) -> None:
    """Adds the command `chorus cache`."""
    cache = commands.add_parser(
        "cache",
        help="what a cache folder holds",
        description="Lists, checks or deletes the entries of a cache folder.",
    )
    cache.add_argument("folder", metavar="DIR", type=path)
    cache.add_argument(
        "--namespace", metavar="NAME", type=name, help="only its entries"
    )
    cache.add_argument(
        "--older-than",
        metavar="AGE",
        type=age,
        help="only entries made longer ago than e.g. 90s, 15m, 12h, 7d or 2w",
    )
    cache.add_argument(
        "--delete", action="store_true", help="delete these entries (all, if no limit)"
    )
    cache.add_argument(
        "--verify",
        action="store_true",
        help="read every entry; damaged ones are dropped",
    )


def add_demo(commands: Any) -> None:
    """Adds the command `chorus demo`."""
    demo = commands.add_parser("demo", help="serve a dozen prompts, reusing their work")
    demo.add_argument(
        "--out", metavar="DIR", type=path, default=Path("demo"), help="(default: demo)"
    )
    demo.add_argument(
        "--steps", type=int, choices=[50, 4], default=50, help="(default: 50)"
    )


def add_info(commands: Any) -> None:
    """Adds the command `chorus info`."""
    info = commands.add_parser("info", help="versions, devices, weights, memory")
    info.add_argument("--weights", metavar="DIR", help=f"{WEIGHTS} (default: shapes)")


SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age(text: str) -> float:
    """Parses an age such as 7d to seconds."""
    try:
        seconds = float(text[:-1]) * SECONDS[text[-1:]]
    except (KeyError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise argparse.ArgumentTypeError(
            f"expected a number with s, m, h, d or w, such as 7d; got {text!r}"
        )
    return seconds
