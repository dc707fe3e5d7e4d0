"""The command line: `chorus generate`, `chorus demo` and `chorus info`."""

import argparse
import dataclasses
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chorus_jax.media.inputs import InputMedia
from chorus_jax.request import Request
from chorus_jax.schedulers import SOLVERS

UNREAD = 128 + 13  # as shells tell SIGPIPE
WEIGHTS = "a converted folder; without it, the shipped weights"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns the exit status, as a signal's if the reader of what is
    printed leaves. Bad input is one line, no traceback."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    try:
        options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads on, as in `chorus info | head`; Python flushes again as it ends.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return UNREAD
    except (ValueError, OSError) as error:
        print(f"chorus: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("chorus: stopped", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(prog="chorus", description="text to video, in JAX")
    commands = top.add_subparsers(required=True, metavar="COMMAND")
    make = commands.add_parser("generate", help="make a video of a prompt")
    make.set_defaults(command=generate)
    make.add_argument("prompt")
    make.add_argument("--weights", type=Path, help=WEIGHTS)
    make.add_argument(
        "--out", type=Path, default=Path("video.mp4"), help="mp4, gif, png"
    )
    make.add_argument("--config", help="a name in configs, or a Python file")
    make.add_argument("--negative-prompt")
    make.add_argument(
        "--steps",
        type=steps,
        help="a number, or sigmas like 1,0.75,0.5; of the shipped weights, 4 runs the "
        "transformer that was distilled to 4 steps",
    )
    make.add_argument("--solver", choices=list(SOLVERS))
    for name, kind in (("shift", float), ("guidance-scale", float), ("seed", int)):
        make.add_argument(f"--{name}", type=kind)
    for name in ("high", "low"):
        make.add_argument(
            f"--guidance-scale-{name}",
            type=float,
            help=f"of the {name}-noise expert, for models with two",
        )
    for name in ("image", "last-image"):
        make.add_argument(f"--{name}", type=Path, help="for image-to-video models")
    for name in ("frames", "height", "width"):
        make.add_argument(f"--{name}", type=int)
    make.add_argument("--fps", type=int, help="the config's if unset")
    make.add_argument(
        "--dtype", choices=["bfloat16", "float32"], help="as stored if unset"
    )
    make.add_argument(
        "--mesh", type=mesh_sizes, help="data,context,tensor, such as 1,4,2"
    )
    told = commands.add_parser("demo", help="serve a dozen prompts, reusing their work")
    told.set_defaults(command=demo)
    told.add_argument("--out", type=Path, default=Path("demo"), help="a folder")
    told.add_argument("--steps", type=int, choices=[50, 4], default=50)
    info = commands.add_parser("info", help="versions, devices, weights, cache folder")
    info.set_defaults(command=show_info)
    info.add_argument("--weights", type=Path, help=WEIGHTS)
    return top


def steps(text: str) -> int | tuple[float, ...]:
    """A number of steps, or a list of sigmas."""
    try:
        return tuple(map(float, text.split(","))) if "," in text else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a number of steps, or sigmas such as 1,0.75,0.5; got {text!r}"
        ) from None


def mesh_sizes(text: str) -> tuple[int, int, int]:
    """Sizes of the axes data, context and tensor."""
    try:
        data, context, tensor = map(int, text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected data,context,tensor such as 1,4,2; got {text!r}"
        ) from None
    return data, context, tensor


def generate(options: argparse.Namespace) -> None:
    """`chorus generate`: checks, loads, runs with a progress bar, writes the file."""
    from chorus_jax.cli.choice import choose
    from chorus_jax.cli.progress import show
    from chorus_jax.engine.pipeline import Pipeline
    from chorus_jax.families.registry import family_of
    from chorus_jax.media import video

    choice = choose(options.weights, options.config, given(options))
    fps = choice.fps if options.fps is None else options.fps
    video.check(options.out, fps)
    mesh = make_mesh(options.mesh)
    family = family_of(choice.folder)
    family.check(choice.folder, choice.transformer, choice.request, mesh)
    if choice.note:
        print(choice.note)
    pipeline = Pipeline.load(
        choice.folder,
        transformer=choice.transformer,
        dtype=options.dtype,
        mesh=mesh,
        keep_text_encoder=False,
    )
    [made] = show(pipeline.stream(choice.request))
    video.write(options.out, made.frames, fps)
    seconds = ", ".join(f"{part} {spent:.1f} s" for part, spent in made.seconds.items())
    print(f"{options.out}: seed {made.request.seed}, {seconds}")


def demo(options: argparse.Namespace) -> None:
    """`chorus demo`: the shipped weights behind a cold cache."""
    from chorus_jax.cli.choice import choose
    from chorus_jax.cli.demo import run
    from chorus_jax.engine import policies_for
    from chorus_jax.engine.pipeline import Pipeline

    choice = choose(None, None, {"steps": options.steps})
    print(choice.note)
    pipeline = Pipeline.load(choice.folder, transformer=choice.transformer)
    policies = policies_for(pipeline.fingerprints)
    run(pipeline, choice.request, policies, options.out, choice.fps)


def given(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of a request that are among the options and were given."""
    fields = {field.name for field in dataclasses.fields(Request)}
    values = vars(options)
    chosen = {k: v for k, v in values.items() if k in fields and v is not None}
    if values.get("image") is not None:
        chosen["inputs"] = InputMedia.read(options.image, options.last_image)
    elif values.get("last_image") is not None:
        raise ValueError("--last-image goes with --image: give the first one too")
    return chosen


def make_mesh(sizes: tuple[int, int, int] | None) -> Any:
    """The mesh of `--mesh` over all devices, None without it."""
    from chorus_jax.devices import sharding

    if sizes is None:
        return None
    data, context, tensor = sizes
    return sharding.make_mesh(data=data, context=context, tensor=tensor)


def show_info(options: argparse.Namespace) -> None:
    """`chorus info`."""
    from chorus_jax.cli import info

    for name, value in info.lines(options.weights):
        print(f"{name:22}{value}")
