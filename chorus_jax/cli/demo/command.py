"""`chorus demo`: serves the shipped weights from an empty cache."""

import argparse

from chorus_jax.cli import cleanups
from chorus_jax.cli.choice import choose
from chorus_jax.cli.demo.run import run
from chorus_jax.cli.interruption import Interruption
from chorus_jax.engine import policies_for
from chorus_jax.engine.pipeline import Pipeline


def demo(options: argparse.Namespace, interruption: Interruption) -> None:
    """Runs the demo. Raises a ValueError or OSError if `--out` cannot be made a
    folder."""
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out {options.out} is a file: give a folder")
    options.out.mkdir(parents=True, exist_ok=True)  # fails before the model loads
    interruption.cleanups += [
        cleanups.half_written_programs,
        cleanups.half_written_videos(options.out),
    ]
    choice = choose(None, None, {"steps": options.steps})
    print(f"shipped weights {choice.folder.name}, {choice.transformer}", flush=True)
    pipeline = Pipeline.load(choice.folder, transformer=choice.transformer)
    policies = policies_for(pipeline.fingerprints)
    run(pipeline, choice.request, policies, options.out, choice.fps)
