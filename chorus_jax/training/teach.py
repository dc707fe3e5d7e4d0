"""Targets of the few-step student: the teacher's trajectories, on disk.

A trajectory is the teacher's guided run of one caption from one noise, in many Euler
steps, stored at the few noise levels of the student's steps.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float16, Float32
from tqdm import tqdm

from chorus_jax.denoise import loop
from chorus_jax.denoise.plan import StepPlan
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.families.wan.model import WanModel
from chorus_jax.request import Request
from chorus_jax.training.deadline import Deadline
from chorus_jax.training.recipe import DistillTraining
from chorus_jax.training.teacher import check_teacher, note_teacher
from chorus_jax.training.world.scene import World

BATCH = 16


@dataclass(frozen=True)
class Taught:
    """Trajectories of a teacher in a folder.

    Attributes:
        folder: holds `latents.npy` (the latents at each level; the last are clean),
            `text.npy` (the captions' embeddings), `captions.jsonl` (one line per
            finished trajectory) and a note of the teacher.
    """

    folder: Path

    def create(self, count: int, model: WanModel, shape: tuple[int, ...]) -> None:
        """Creates files for `count` trajectories of this shape, unless they exist.

        Raises a ValueError if they hold the trajectories of another teacher.
        """
        check_teacher(self.folder, model.fingerprints)
        note_teacher(self.folder, model.fingerprints)
        sizes = model.sizes.transformer
        text = (count, sizes.text_limit, sizes.text_width)
        for name, full_shape, dtype in (
            ("latents", (count, *shape), np.float16),
            ("text", text, np.float32),
        ):
            path = self.folder / f"{name}.npy"
            if not path.exists():
                np.lib.format.open_memmap(path, "w+", dtype, full_shape)

    def put(
        self, captions: Sequence[str], text: np.ndarray, latents: np.ndarray
    ) -> None:
        """Appends finished trajectories."""
        first = self.done()
        rows = slice(first, first + len(captions))
        for name, new in (("text", text), ("latents", latents)):
            array = np.lib.format.open_memmap(self.folder / f"{name}.npy", "r+")
            array[rows] = new
            array.flush()
        with (self.folder / "captions.jsonl").open("a") as file:
            file.writelines(json.dumps(caption) + "\n" for caption in captions)

    def done(self) -> int:
        """The number of stored trajectories."""
        path = self.folder / "captions.jsonl"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def latents(self) -> Float16[np.ndarray, "done levels f h w c"]:
        """Latents of finished trajectories. Raises a ValueError if there are none."""
        return self.read("latents")

    def text(self) -> Float32[np.ndarray, "done m t"]:
        """The text embeddings of finished trajectories. Raises a ValueError if there
        are none."""
        return self.read("text")

    def read(self, name: str) -> np.ndarray:
        """The rows of an array that belong to finished trajectories."""
        if not self.done():
            raise ValueError(
                f"{self.folder} holds no trajectories: run "
                "`python -m chorus_jax.training teach` first"
            )
        return np.load(self.folder / f"{name}.npy", mmap_mode="r")[: self.done()]


def fine_sigmas(sigmas: Sequence[float], parts: int) -> tuple[float, ...]:
    """Divides every interval of sigmas (before the shift), down to 0, into parts."""
    ends = (*sigmas, 0.0)
    pieces = (
        np.linspace(high, low, parts, endpoint=False)
        for high, low in zip(ends, ends[1:])
    )
    return tuple(float(x) for x in np.concatenate(list(pieces)))


def request_of(
    caption: str, seed: int, training: DistillTraining, world: World
) -> Request:
    """The teacher's request for a caption."""
    return Request(
        caption,
        frames=world.frames,
        height=world.height,
        width=world.width,
        steps=fine_sigmas(training.sigmas, training.parts),
        solver="euler",
        shift=training.shift,
        guidance_scale=training.guidance_scale,
        seed=seed,
    )


def trajectories(
    pipeline: Pipeline, requests: Sequence[Request], parts: int
) -> Float32[np.ndarray, "b levels f h w c"]:
    """Runs a batch; returns the noise and the latents after every `parts` steps."""
    conditions, _ = pipeline.condition(requests)
    plan = StepPlan.plain(requests[0].step_count)
    program, inputs = pipeline.program(requests[0], plan), pipeline.inputs(conditions)
    noise = pipeline.noise(requests, program.geometry, conditions)
    state = loop.start(inputs, noise, program=program)
    levels = [np.asarray(state.latents)]
    for _, state in loop.in_pieces(inputs, state, program, parts, ahead=0):
        levels.append(np.asarray(state.latents))
    return np.stack(levels, axis=1)


def teach(
    model: WanModel,
    taught: Taught,
    captions: Sequence[str],
    training: DistillTraining,
    world: World,
    at_once: int = BATCH,
    deadline: Deadline | None = None,
) -> None:
    """Runs the teacher over all captions, continuing an earlier call that was stopped.

    A caption's seed is its number. `at_once` captions are run in a batch. The last
    batch is padded, so that only one program is compiled, and the padding is dropped.
    No batch but the first begins after the deadline.
    """
    first = request_of(captions[0], 0, training, world)
    shape = (len(training.sigmas) + 1, *model.sizes.latent_shape(first))
    taught.create(len(captions), model, shape)
    limit, pipeline = model.sizes.transformer.text_limit, Pipeline(model)
    bar = tqdm(total=len(captions), initial=taught.done(), unit="run", mininterval=2)
    with bar:
        while (start := taught.done()) < len(captions):
            batch_captions = captions[start : start + at_once]
            filled = [*batch_captions, *[captions[0]] * (at_once - len(batch_captions))]
            requests = [
                request_of(caption, start + i, training, world)
                for i, caption in enumerate(filled)
            ]
            latents = trajectories(pipeline, requests, training.parts)
            text = np.asarray(model.prompts(batch_captions).embeddings, np.float32)
            text = np.pad(text, ((0, 0), (0, limit - text.shape[1]), (0, 0)))
            taught.put(batch_captions, text, latents[: len(batch_captions)])
            bar.update(len(batch_captions))
            if deadline is not None and not deadline.rate():
                return
