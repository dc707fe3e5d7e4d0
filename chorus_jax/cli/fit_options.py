"""The options of `chorus fit`. Nothing heavy is imported here."""

import argparse
from typing import Any

from chorus_jax.cli.generate_options import add_idle_expert, mesh_sizes, steps

EXAMPLES = """examples:
  chorus fit wan21_14b 480x832x81 --topology v5p:2x2x1
  chorus fit "Wan 2.2 T2V-A14B" --topology v6e:2x4 --quick
  chorus fit weights/ltx_13b_098_dev 704x1216x121 --topology v6e:2x2
"""


def add_fit(commands: Any) -> None:
    """Adds the command `chorus fit`."""
    fit = commands.add_parser(
        "fit",
        help="whether a model and a video fit a TPU, answered without one",
        description="Says what each chip of a TPU holds in each phase of a run, by "
        "compiling its programs for that TPU, which takes the package libtpu. No "
        "weights are read or made. The exit status is 3 if it does not fit.",
        usage="chorus fit MODEL [SIZE] [options]   (--help lists them)",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fit.add_argument(
        "model",
        metavar="MODEL",
        help="a converted folder, or a published model or config by its name",
    )
    fit.add_argument(
        "size",
        metavar="SIZE",
        nargs="?",
        type=video_size,
        help="height x width x frames in pixels, such as 480x832x81 (default: the "
        "model's own)",
    )
    fit.add_argument(
        "--topology",
        metavar="NAME",
        default="v6e:2x2",
        help="such as v5e:2x4 or v5p:2x2x1 (default: v6e:2x2)",
    )
    fit.add_argument(
        "--quick",
        action="store_true",
        help="an estimate, without compiling anything and without libtpu",
    )
    fit.add_argument(
        "--decoder",
        action="store_true",
        help="compile the decoder and what reads images too, which takes minutes "
        "(default: these are estimated)",
    )
    fit.add_argument(
        "--mesh",
        metavar="D,C,T",
        type=mesh_sizes,
        help="devices along data, context and tensor, or by name with a ring "
        "(default: what needs least)",
    )
    add_run(fit)
    fit.add_argument(
        "--free-text-encoder",
        action="store_true",
        help="its memory is given back once prompts are encoded",
    )
    add_idle_expert(fit)


def add_run(fit: argparse.ArgumentParser) -> None:
    """Adds the options that change the memory of a run."""
    group = fit.add_argument_group("the run (settings not given are the model's own)")
    group.add_argument("--steps", metavar="N", type=steps, help="denoising steps")
    group.add_argument(
        "--guidance-scale", metavar="X", type=float, help="up to 1 is none"
    )
    group.add_argument(
        "--image", action="store_true", help="the video begins with an image"
    )
    group.add_argument(
        "--active",
        metavar="SHARE",
        type=float,
        help="a hit with region steps over this share of the tokens (default: a miss)",
    )
    group.add_argument(
        "--step-cache", metavar="CACHE", help="as of chorus generate (default: none)"
    )
    group.add_argument(
        "--tokens", metavar="NAME", help="hsa-75, hsa-50 or hsa-25 (default: all)"
    )


def video_size(text: str) -> dict[str, int]:
    """Parses a size such as 480x832x81: height, width and, if given, frames."""
    try:
        numbers = list(map(int, text.lower().split("x")))
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or min(numbers) < 1:
        raise argparse.ArgumentTypeError(
            f"expected height x width x frames such as 480x832x81; got {text!r}"
        )
    return dict(zip(("height", "width", "frames"), numbers))
