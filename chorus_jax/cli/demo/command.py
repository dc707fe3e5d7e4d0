"""`chorus demo`: the shipped weights behind a cold cache."""

import argparse

from chorus_jax.cli import cleanups
from chorus_jax.cli.choice import choose
from chorus_jax.cli.demo.run import run
from chorus_jax.cli.interruption import Interruption
from chorus_jax.engine import policies_for
from chorus_jax.engine.pipeline import Pipeline


def demo(options: argparse.Namespace, interruption: Interruption) -> None:
    """Runs the demo."""
    interruption.cleanups += [
        cleanups.half_written_programs,
        cleanups.half_written_videos(options.out),
    ]
    choice = choose(None, None, {"steps": options.steps})
    print(f"shipped weights {choice.folder.name}, {choice.transformer}", flush=True)
    pipeline = Pipeline.load(choice.folder, transformer=choice.transformer)
    policies = policies_for(pipeline.fingerprints)
    run(pipeline, choice.request, policies, options.out, choice.fps)
