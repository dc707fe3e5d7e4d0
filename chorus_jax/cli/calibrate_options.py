"""The options of the calibrating commands. Nothing heavy is imported here."""

import argparse
from pathlib import Path
from typing import Any

from chorus_jax.cli.generate_options import (
    WEIGHTS,
    add_idle_expert,
    add_inputs,
    add_sampling,
)
from chorus_jax.cli.one_line import path

DESCRIPTION = """Measures how much of an earlier video a model may reuse, and writes a
policy: a JSON file for --policy, or for Engine.

All prompts are generated in full and stored, and again with more and more steps skipped
by beginning from a source. The source of prompts 1, 3, 5 and so on is one of the
others, and theirs is one of these. A policy is allowed if the hits of each of
its tiers are, on average, as near to the full videos as --least-psnr and --least-ssim
say; the one that computes least is written. The defaults come from earlier weights of
the shapes model, where hits that are less near lose what differs from their source
(benchmarks/fidelity/RESULTS.md).

Prompts should be like those that will be asked, similar ones side by side: 16 at least,
better 100. All work is kept in --work: after Ctrl-C, or when the minutes end early, the
same command goes on where it was.
"""


CACHE_DESCRIPTION = """Measures a step cache on prompts, and writes it with what it was
measured on: a JSON file for --step-cache.

Each prompt is made in full, and then with one setting after another, the boldest first.
The first that is, on average, as near to the full videos as --least-psnr and
--least-ssim say is written; if none is, nothing is. Frames are compared, sound is not.
20 to 50 different prompts are good. A method that is fitted to full runs is judged on
every third of them, and fitted to the others.
"""


def add_calibrate_cache(commands: Any) -> None:
    """Adds the command `chorus calibrate-cache`."""
    command = commands.add_parser(
        "calibrate-cache",
        help="measure a step cache of a model",
        usage="chorus calibrate-cache MODEL --method NAME --prompts FILE [options]   "
        "(--help lists them)",
        description=CACHE_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("weights", metavar="MODEL", help=WEIGHTS)
    command.add_argument(
        "--method",
        metavar="NAME",
        required=True,
        help="sea, taylor, planned, mag, tea, profiling and others (an unknown name "
        "lists them)",
    )
    command.add_argument(
        "--prompts",
        metavar="FILE",
        type=path,
        required=True,
        help="one per line, 4 at least",
    )
    command.add_argument(
        "--out",
        metavar="FILE.json",
        type=path,
        help="the step cache (default: step_cache_NAME.json in the weights' folder)",
    )
    for name, default, what in (("psnr", 30.0, "dB"), ("ssim", 0.9, "0 to 1")):
        command.add_argument(
            f"--least-{name}",
            metavar="X",
            type=float,
            default=default,
            help=f"the least mean {name.upper()} to full videos, {what} "
            f"(default: {default:g})",
        )
    command.add_argument("--config", metavar="NAME", help="as of chorus generate")
    command.add_argument("--dtype", choices=["bfloat16", "float32"])
    add_idle_expert(command)
    command.add_argument("--negative-prompt", metavar="TEXT", help="what to avoid")
    add_inputs(command.add_argument_group("images and videos, of all prompts"))
    add_sampling(command)


def add_calibrate(commands: Any) -> None:
    """Adds the command `chorus calibrate`."""
    command = commands.add_parser(
        "calibrate",
        help="measure how much a model may reuse: a policy",
        usage="chorus calibrate MODEL --prompts FILE [options]   (--help lists them)",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("weights", metavar="MODEL", help=WEIGHTS)
    command.add_argument(
        "--prompts", metavar="FILE", type=path, required=True, help="one per line"
    )
    command.add_argument(
        "--out",
        metavar="FILE",
        type=path,
        default=Path("policy.json"),
        help="the policy (default: policy.json)",
    )
    command.add_argument(
        "--work",
        metavar="DIR",
        type=path,
        help="keeps sources and full videos (default: FILE of --out with .work)",
    )
    command.add_argument(
        "--minutes",
        metavar="X",
        type=float,
        default=60.0,
        help="no run begins after so many minutes (default: 60)",
    )
    command.add_argument(
        "--least-psnr",
        metavar="DB",
        type=float,
        default=27.0,
        help="the least mean PSNR of each tier's hits to full videos (default: 27 dB)",
    )
    command.add_argument(
        "--least-ssim",
        metavar="X",
        type=float,
        default=0.9,
        help="the least mean SSIM of each tier's hits to full videos, 0 to 1 "
        "(default: 0.9)",
    )
    command.add_argument("--config", metavar="NAME", help="as of chorus generate")
    command.add_argument("--dtype", choices=["bfloat16", "float32"])
    add_idle_expert(command)
    command.add_argument("--negative-prompt", metavar="TEXT", help="what to avoid")
    add_inputs(command.add_argument_group("images and videos, of all prompts"))
    add_sampling(command)
