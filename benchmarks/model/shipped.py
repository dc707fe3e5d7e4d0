"""Measures the shipped model: its size, its loading time, its videos in diffusers.

    python -m benchmarks.model.shipped

`megabytes` is the size of the package with its weights, and that of the weights alone.
`seconds` is the time of `chorus_jax.load("shapes")` in a process of its own, with all
imports. `psnr` and `least` are the mean and the least PSNR to the videos that diffusers
makes of the exported weights from the same noise; that needs PyTorch and diffusers
(`.[convert]`). Nothing else should run on the machine.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import chorus_jax as cj
from benchmarks.lib import rows
from benchmarks.lib.timing import Timing
from chorus_jax.checkpoints import shipped
from chorus_jax.denoise import loop
from chorus_jax.engine import Pipeline
from chorus_jax.families.wan.model import WanModel
from chorus_jax.media.metrics import psnr
from chorus_jax.training.world.attributes import held_out_combinations
from chorus_jax.training.world.examples import prompts
from configs import shapes
from convert.__main__ import main as convert

ROOT = Path(__file__).parents[2]
STEPS = 50
PACKAGES = ("chorus_jax", "kernels_pallas", "convert", "configs")
COLUMNS = ("row", "megabytes", "seconds", "spread", "prompts", "psnr", "least")
TIMED = """
import time
begin = time.perf_counter()
import chorus_jax as cj
cj.load("shapes")
print(time.perf_counter() - begin)
"""
Row = dict[str, Any]


def megabytes(*folders: Path) -> float:
    """The size of all files in folders, without compiled Python, in 10**6 bytes."""
    files = (path for folder in folders for path in folder.rglob("*"))
    kept = (x for x in files if x.is_file() and x.suffix != ".pyc")
    return sum(path.stat().st_size for path in kept) / 1e6


def loading(runs: int) -> Row:
    """Times loading, each run in its own process."""
    command = [sys.executable, "-c", TIMED]
    output = lambda: subprocess.check_output(command, text=True)
    timing = Timing(tuple(float(output()) for _ in range(runs)))
    facts = {"seconds": timing.median, "spread": timing.spread, "runs": runs}
    return {"row": "load", **facts}


def exported(folder: Path) -> Any:
    """The shipped model as diffusers' WanPipeline, exported into a folder.

    Raises:
        RuntimeError: if the export fails.
    """
    import torch
    from diffusers import WanPipeline

    if convert(["export", str(shipped.folder(shapes.WEIGHTS)), str(folder)]) != 0:
        raise RuntimeError("the shipped weights were not exported: see the lines above")
    made = WanPipeline.from_pretrained(
        folder, local_files_only=True, torch_dtype=torch.float32
    )
    made.set_progress_bar_config(disable=True)
    return made


def psnr_to_diffusers(ours: Pipeline, reference: Any, request: cj.Request) -> float:
    """The PSNR of a request's video to that of diffusers, from the same noise.

    Args:
        ours: the shipped model in float32.
        reference: the same model as diffusers' pipeline (see `exported`).
        request: the request, with a seed.
    """
    import torch

    model, seeds = ours.model, jnp.array([request.seed], jnp.uint32)
    assert isinstance(model, WanModel)
    noise = loop.noise(seeds, model.geometry(request))
    frames = reference(
        request.prompt,
        request.negative_prompt,
        height=request.height,
        width=request.width,
        num_frames=request.frames,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance_scale,
        latents=torch.from_numpy(np.array(noise.transpose(0, 4, 1, 2, 3))),
        max_sequence_length=model.sizes.transformer.text_limit,
        output_type="np",
    ).frames[0]
    [video] = ours(request)
    return psnr(video.frames, np.float32(2.0) * frames - 1)


def in_diffusers(count: int) -> Row:
    """The PSNR of videos to those of diffusers, over held-out prompts."""
    ours = cj.load(shapes.WEIGHTS, dtype="float32")
    drawn = prompts(held_out_combinations(), count, seed=0)
    found = []
    with tempfile.TemporaryDirectory() as name:
        reference = exported(Path(name) / "exported")
        for seed, prompt in enumerate(tqdm(drawn, desc="videos", leave=False)):
            request = ours.request(prompt.caption, steps=STEPS, seed=seed)
            found.append(psnr_to_diffusers(ours, reference, request))
    figures = {"psnr": fmean(found), "least": min(found), "prompts": count}
    return {"row": f"diffusers, {STEPS} steps", **figures}


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("--prompts", type=int, default=8)
    top.add_argument("--runs", type=int, default=5)
    options = top.parse_args()
    rows.commit()  # rows need it: better to fail here than after a minute
    packages = [ROOT / name for name in PACKAGES]
    made: list[Row] = [
        {"row": "package", "megabytes": megabytes(*packages)},
        {"row": "weights", "megabytes": megabytes(shipped.folder(shapes.WEIGHTS))},
        loading(options.runs),
        in_diffusers(options.prompts),
    ]
    rows.update("shipped", made)
    print(rows.table(made, COLUMNS))


if __name__ == "__main__":
    main()
