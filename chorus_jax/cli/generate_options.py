"""The options of `chorus generate`. Nothing heavy is imported here."""

import argparse
from pathlib import Path
from typing import Any

from chorus_jax.cli.one_line import name, path

SOLVERS = ("euler", "unipc", "dpmpp", "renoise", "res_2s", "wan_unipc", "wan_dpmpp")
WEIGHTS = "a converted folder, or `shapes`, the shipped weights"
AXES = ("data", "context", "tensor", "ring")  # the axes of a mesh
QUALITIES = ("lossless", "high", "balanced", "fast")
MODES = ("both", "read", "write", "off")
EXAMPLES = """examples:
  chorus generate "a red circle moves left on a gray background"
  chorus generate --prompts prompts.txt --cache cache --out videos/{number}.mp4
  chorus generate "a red circle" --seed 1,2,3 --json
"""


def add_generate(commands: Any) -> None:
    """Adds the command `chorus generate`."""
    make = commands.add_parser(
        "generate",
        help="make videos of prompts",
        description="Makes videos of prompts.",
        usage="chorus generate PROMPT... [options]   (--help lists them)",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_what(make)
    add_model(make)
    add_sampling(make)
    add_reuse(make)
    add_output(make)


def add_what(make: argparse.ArgumentParser) -> None:
    """Adds the options of prompts, seeds, images and videos."""
    group = make.add_argument_group("what to make")
    group.add_argument("prompt", metavar="PROMPT", nargs="*", help="one video per seed")
    group.add_argument(
        "--prompts", metavar="FILE", type=path, help="more prompts, one per line"
    )
    group.add_argument(
        "--seed",
        metavar="N[,N...]",
        type=seeds,
        help="of the noise, 0 to 2**32-1; several give a video each (default: a random "
        "one; with --cache it is 0, so that the same command finds its own videos)",
    )
    group.add_argument(
        "--count",
        metavar="N",
        type=int,
        default=1,
        help="videos per prompt, with seeds that follow --seed (default: 1)",
    )
    group.add_argument("--negative-prompt", metavar="TEXT", help="what to avoid")
    add_inputs(group)


def add_inputs(group: Any) -> None:
    """Adds the options of images and videos from which a video is made."""
    group.add_argument(
        "--image", metavar="FILE", type=path, help="first frame, of image-to-video"
    )
    group.add_argument(
        "--last-image", metavar="FILE", type=path, help="last frame (default: none)"
    )
    group.add_argument(
        "--extend",
        metavar="FILE[:N]",
        type=clip,
        help="the video goes on from the first N frames of this clip; of LTX models, "
        "which read 1 + a multiple of 8 (default: all of it, 241 at most)",
    )
    group.add_argument(
        "--video",
        metavar="FILE",
        type=path,
        help="video-to-video: begin from this video with noise added",
    )
    group.add_argument(
        "--strength",
        metavar="X",
        type=float,
        help="the share of the steps that are run on --video, 0 to 1 (default: 0.8)",
    )


def add_model(make: argparse.ArgumentParser) -> None:
    """Adds the options of weights, config, dtype and devices."""
    group = make.add_argument_group("model (settings not given are the weights' own)")
    group.add_argument(
        "--weights",
        "--model",
        metavar="PATH",
        help=WEIGHTS
        + " (default: shapes); or a model as published, which is converted "
        "once",
    )
    group.add_argument(
        "--part",
        metavar="NAME=FILE",
        action="append",
        type=named_file,
        default=[],
        help="beside a model as published, such as vae=FILE, text_encoder=FILE or "
        "tokenizer=PATH; may be given several times",
    )
    group.add_argument(
        "--lora",
        metavar="[high=|low=]FILE[:STRENGTH]",
        action="append",
        default=[],
        help="merged into a model as published; may be given several times",
    )
    group.add_argument(
        "--lora-skip-missing",
        action="store_true",
        help="leave out what a LoRA has and the model lacks",
    )
    group.add_argument(
        "--variant",
        help="which of several precisions of a model as published, such as fp16",
    )
    group.add_argument(
        "--state",
        help="which of several state dicts in the transformer's .pt, such as "
        "generator_ema",
    )
    group.add_argument(
        "--config", metavar="NAME", help="settings: a name in configs, or a Python file"
    )
    group.add_argument(
        "--dtype",
        choices=["bfloat16", "float32"],
        help="what the model computes in (default: as stored)",
    )
    group.add_argument(
        "--mesh",
        metavar="AXIS=N,...",
        type=mesh_sizes,
        help="devices along data, context, tensor and ring, such as "
        "context=4,tensor=2, or of the first three, such as 1,4,2 (default: one)",
    )
    add_idle_expert(group)


def add_idle_expert(group: Any) -> None:
    """Adds the option of where an idle expert's weights are."""
    group.add_argument(
        "--idle-expert",
        choices=["devices", "host"],
        default="devices",
        help="for models with two experts: where the inactive expert's weights are "
        "kept (default: devices)",
    )


def add_sampling(make: argparse.ArgumentParser) -> None:
    """Adds the options of steps, solver and size."""
    group = make.add_argument_group("sampling")
    group.add_argument(
        "--steps",
        metavar="N",
        type=steps,
        help="denoising steps, or sigmas from 1 down such as 1,0.75,0.5, or timesteps "
        "such as 1000,757,522; of the shipped weights 4 runs the distilled transformer",
    )
    group.add_argument("--solver", choices=SOLVERS, help="(default: the model's own)")
    group.add_argument(
        "--shift",
        metavar="X",
        type=float,
        help="of the schedule; above 1 moves steps towards high noise",
    )
    group.add_argument(
        "--guidance-scale",
        metavar="X",
        type=float,
        help="how closely prompts are followed; 1 or less: no guidance",
    )
    for level in ("high", "low"):
        group.add_argument(
            f"--guidance-scale-{level}",
            metavar="X",
            type=float,
            help=f"in {level}-noise steps, of models with two transformers",
        )
    group.add_argument(
        "--frames", metavar="N", type=int, help="Wan: 4n + 1, LTX: 8n + 1"
    )
    group.add_argument("--height", metavar="N", type=int, help="pixels")
    group.add_argument("--width", metavar="N", type=int, help="pixels")


def add_reuse(make: argparse.ArgumentParser) -> None:
    """Adds the options of the cache and of what may be reused."""
    steps_group = make.add_argument_group("reuse across the steps of one video")
    steps_group.add_argument(
        "--step-cache",
        metavar="CACHE",
        help="such as taylor:interval=2, mag:variant=wan21_t2v_14b,threshold=.12, or "
        "a file of `chorus calibrate-cache` (default: the policy's, of hits)",
    )
    steps_group.add_argument(
        "--quality",
        choices=QUALITIES,
        help="a step cache, for 16 steps or more: high, balanced and fast compute "
        "58, 35 and 28 %% of the shapes model's 50 steps; calibrate one for others",
    )
    steps_group.add_argument(
        "--tokens",
        metavar="NAME",
        help="hsa-75 runs slowly changing tokens in fewer steps, hsa-50 and hsa-25 run "
        "all tokens in some steps only: 72, 50 and 24 %% of the work, in 16 steps or "
        "more (default: all tokens in all steps)",
    )
    group = make.add_argument_group("reuse of earlier requests (with --cache)")
    group.add_argument(
        "--cache", metavar="DIR", type=path, help="folder of earlier requests' work"
    )
    group.add_argument(
        "--cache-mode",
        choices=MODES,
        help="reuse earlier requests' work (read), store one's own (write), or both "
        "(default: both)",
    )
    group.add_argument(
        "--cache-size",
        metavar="GIB",
        type=float,
        default=10.0,
        help="the most that DIR may hold; then the least recently used entries of the "
        "largest namespace are removed (default: 10)",
    )
    group.add_argument(
        "--namespace",
        metavar="NAME",
        type=name,
        help="tenant: reads its own and shared entries, stores into its own (default: "
        "default)",
    )
    group.add_argument(
        "--other-images",
        action="store_true",
        help="also reuse videos made of other images, if these were made with this "
        "option",
    )
    group.add_argument(
        "--least-score",
        metavar="X",
        type=float,
        help="the least score of a source, 0 to 1; the larger of this and the policy's "
        "applies (default: 0)",
    )
    group.add_argument(
        "--policy",
        metavar="FILE",
        type=path,
        help="a file of `chorus calibrate` (default: the one measured on these "
        "weights, else an uncalibrated one)",
    )


def add_output(make: argparse.ArgumentParser) -> None:
    """Adds the options of output files and messages."""
    group = make.add_argument_group("output")
    group.add_argument(
        "--out",
        metavar="FILE",
        type=path,
        default=Path("video.mp4"),
        help="mp4, gif or png (a sheet of frames); several videos are video-1.mp4, "
        "video-2.mp4 and so on, or where {number} and {seed} say (default: video.mp4)",
    )
    group.add_argument("--fps", metavar="N", type=int, help="frames per second")
    group.add_argument(
        "--json",
        action="store_true",
        help="write request, model and ledger beside each video",
    )
    group.add_argument("--quiet", action="store_true", help="say errors only")


def steps(text: str) -> int | tuple[float, ...]:
    """Parses a number of steps, or a list of sigmas."""
    try:
        return tuple(map(float, text.split(","))) if "," in text else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            "expected a number of steps, sigmas such as 1,0.75,0.5 or timesteps such "
            f"as 1000,757; got {text!r}"
        ) from None


def named_file(text: str) -> tuple[str, Path]:
    """Parses the name of a part and its file, as PART=FILE."""
    name, equals, file = text.partition("=")
    if not (name and equals and file):
        raise argparse.ArgumentTypeError(
            f"expected a part and its file, such as vae=vae.safetensors; got {text!r}"
        )
    return name.replace("-", "_"), Path(file)


def clip(text: str) -> tuple[Path, int | None]:
    """Parses a video file and the number of frames to read, as FILE or FILE:N."""
    name, colon, count = text.rpartition(":")
    if not (colon and count.isascii() and count.isdecimal()):
        return path(text), None
    if int(count) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 frame or more, got {text!r}")
    return path(name), int(count)


def seeds(text: str) -> tuple[int, ...]:
    """Parses one seed or several."""
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a seed, or several such as 1,2,3; got {text!r}"
        ) from None


def mesh_sizes(text: str) -> dict[str, int]:
    """Parses a mesh's axis sizes: by name, or as three for data, context and tensor."""
    parts, sizes = text.split(","), {}
    try:
        if "=" in text:
            pairs = [part.split("=") for part in parts]
        else:
            pairs = [[*pair] for pair in zip(AXES[:3], parts, strict=True)]
        sizes = {name: int(size) for name, size in pairs}
    except ValueError:
        sizes = {}
    known = len(sizes) == len(parts) and {*sizes} <= {*AXES}
    if not known or min(sizes.values()) < 1:
        raise argparse.ArgumentTypeError(
            "expected sizes of data, context, tensor or ring, each 1 or more, such as "
            f"context=4,tensor=2, or data,context,tensor such as 1,4,2; got {text!r}"
        )
    return sizes
