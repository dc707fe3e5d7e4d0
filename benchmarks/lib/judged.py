"""Generates videos of prompts, and scores them by the oracle and quality measures."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.lib.timing import Timing
from chorus_jax.media.metrics import psnr, ssim
from chorus_jax.media.video import to_uint8
from chorus_jax.request import Request
from chorus_jax.training.world.attributes import VALUES
from chorus_jax.training.world.examples import ScenePrompt
from chorus_jax.training.world.measures import (
    detail,
    flicker,
    render_db,
    smoothness,
)
from chorus_jax.training.world.oracle import read
from chorus_jax.training.world.render import render
from chorus_jax.training.world.scene import ObjectSizes, World

Scores = dict[str, float]


@dataclass(frozen=True)
class Model:
    """A pipeline, and the settings of its requests.

    Attributes:
        pipeline: a `Pipeline`, or another function of requests that returns videos.
        request: a request with all settings but prompt and seed.
        weights: the fingerprints of the model's parts, by name.
        dtype: the dtype of the computation.
        sizes: the sizes of the objects that the model was trained on.
    """

    pipeline: Callable[..., Sequence[Any]]
    request: Request
    weights: Mapping[str, str]
    dtype: str
    sizes: ObjectSizes = ObjectSizes()

    @property
    def steps(self) -> int:
        """The number of denoising steps."""
        return self.request.step_count

    @property
    def world(self) -> World:
        """The world at the request's size."""
        request = self.request
        return World(request.height, request.width, request.frames, self.sizes)


@dataclass(frozen=True)
class Batch:
    """A batch of prompts and the videos generated from them.

    Attributes:
        prompts: one per video.
        frames: the frames of each video, [f h w 3] in 8 bits.
        seconds: the time per video, in seconds.
    """

    prompts: tuple[ScenePrompt, ...]
    frames: tuple[np.ndarray, ...]
    seconds: float


def filled(count: int, size: int) -> Iterator[list[int]]:
    """The numbers below `count` in batches of equal size, to compile one program only.

    The last batch is padded with the first numbers; drop the results of the padding.
    """
    size = min(size, count)
    for first in range(0, count, size):
        yield [number % count for number in range(first, first + size)]


def sampled(model: Model, prompts: Sequence[ScenePrompt], size: int) -> Iterator[Batch]:
    """Yields the prompts' videos by batches; a video's seed is its prompt's index."""
    done = 0
    for numbers in filled(len(prompts), size):
        requests = [
            replace(model.request, prompt=prompts[number].caption, seed=number)
            for number in numbers
        ]
        began = time.perf_counter()
        videos = model.pipeline(*requests)
        seconds = (time.perf_counter() - began) / len(requests)
        batch_prompts = tuple(prompts[done : done + len(numbers)])
        frames = tuple(video.frames for video in videos[: len(batch_prompts)])
        yield Batch(batch_prompts, frames, seconds)
        done += len(batch_prompts)


def judge(
    prompt: ScenePrompt, frames: np.ndarray, sizes: ObjectSizes = ObjectSizes()
) -> Scores:
    """Scores of a video of one object: accuracy by attribute (1 or 0), and quality.

    Attributes that are unclear to the oracle are wrong; attributes that the prompt does
    not name are left out.
    """
    [attributes] = prompt.attributes
    reading = read(frames, sizes)
    right = reading.agrees(attributes)
    return {
        "accuracy": float(all(right.values())),
        **{f"accuracy_{name}": float(value) for name, value in right.items()},
        "render_db": render_db(frames, reading),
        "detail": detail(frames),
        "flicker": flicker(frames, reading),
        "smoothness": smoothness(reading),
    }


def lost(ours: Scores, full: Scores) -> tuple[str, ...]:
    """The attributes that are wrong in a video and right in its full run."""
    names = (name for name in VALUES if f"accuracy_{name}" in full)
    return tuple(x for x in names if ours[f"accuracy_{x}"] < full[f"accuracy_{x}"])


def means(scores: Sequence[Scores]) -> Scores:
    """The mean of each score over the videos that have it."""
    names = dict.fromkeys(name for scored in scores for name in scored)
    return {
        name: float(np.mean([scored[name] for scored in scores if name in scored]))
        for name in names
    }


def with_errors(scores: Sequence[Scores]) -> Scores:
    """The mean of each score, and its standard error over the videos as `NAME_error`.

    A score that fewer than two videos have gets no error.
    """
    errors = {}
    for name, mean in means(scores).items():
        values = [scored[name] for scored in scores if name in scored]
        errors[name] = mean
        if len(values) > 1:
            errors[f"{name}_error"] = float(np.std(values, ddof=1) / len(values) ** 0.5)
    return errors


def sampling_row(
    name: str, model: Model, prompts: Sequence[ScenePrompt], size: int
) -> dict[str, Any]:
    """Makes the prompts' videos; returns a row of their mean scores.

    The row has times if there are three batches or more. They leave out the first
    batch, which compiles.
    """
    scores: list[Scores] = []
    seconds: list[float] = []
    with tqdm(total=len(prompts), desc=name, unit="video") as bar:
        for batch in sampled(model, prompts, size):
            scores += [
                judge(prompt, frames, model.sizes)
                for prompt, frames in zip(batch.prompts, batch.frames, strict=True)
            ]
            seconds.append(batch.seconds)
            bar.update(len(batch.prompts))
    timed = Timing(tuple(seconds[1:])) if len(seconds) > 2 else None
    return {
        "row": name,
        "steps": model.steps,
        "prompts": len(prompts),
        "batch": min(size, len(prompts)),
        **means(scores),
        **({"seconds": timed.median, "spread": timed.spread} if timed else {}),
        "dtype": model.dtype,
        "weights": dict(model.weights),
    }


def reconstruction_scores(
    reconstruct: Callable[[np.ndarray], Any],
    prompts: Sequence[ScenePrompt],
    world: World,
    size: int,
) -> Scores:
    """Mean `psnr` and `ssim` of a VAE's reconstructions of rendered videos.

    `detail` is the reconstructions' detail divided by the rendered videos' detail.
    """
    scores: list[Scores] = []
    with tqdm(total=len(prompts), desc="vae", unit="video") as bar:
        for numbers in filled(len(prompts), size):
            videos = [render(prompts[n].attributes[0], n, world) for n in numbers]
            made = [
                to_uint8(video) for video in np.asarray(reconstruct(np.stack(videos)))
            ]
            missing = len(prompts) - len(scores)
            scores += map(_reconstruction, videos[:missing], made[:missing])
            bar.update(len(scores) - bar.n)
    mean = means(scores)
    rendered = mean.pop("detail_rendered")
    return {**mean, "detail": mean["detail"] / rendered}


def _reconstruction(video: np.ndarray, made: np.ndarray) -> Scores:
    return {
        "psnr": psnr(made, video),
        "ssim": ssim(made, video),
        "detail": detail(made),
        "detail_rendered": detail(video),
    }
