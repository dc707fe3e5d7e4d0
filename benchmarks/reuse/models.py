"""Loads the model of a config, and its base policy."""

from argparse import ArgumentParser, Namespace
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.lib.wan import wan
from benchmarks.reuse.arms import with_fewer
from chorus_jax.checkpoints import Card, shipped
from chorus_jax.cli.choice import BY_STEPS, OTHERWISE
from chorus_jax.cli.config_file import load_config
from chorus_jax.engine import Pipeline
from chorus_jax.families.wan.parts import parts_of, stored_names
from chorus_jax.inter_request.policy import policy_file
from chorus_jax.inter_request.policy.policies import calibrated, default_policy
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.request import Request


@dataclass(frozen=True, eq=False)
class Loaded:
    """A loaded model, and the settings of its requests.

    Attributes:
        name: the name of the weights.
        steps: denoising steps.
        pipeline: the model.
        request: all settings but prompt and seed.
        facts: the fields of rows that describe the model.
    """

    name: str
    steps: int
    pipeline: Pipeline
    request: Request
    facts: dict[str, Any]


def add_options(parser: ArgumentParser) -> None:
    """Adds the options of weights and computation."""
    parser.add_argument(
        "--weights", help="a folder, or a shipped name; that of the config if unset"
    )
    parser.add_argument(
        "--dtype", choices=["bfloat16", "float32"], help="as stored if unset"
    )
    parser.add_argument(
        "--tile",
        type=int,
        nargs=3,
        metavar=("F", "H", "W"),
        help="tokens of a region's tile; as the weights say if unset",
    )


def load_model(options: Namespace, config: str | None, steps: int | None) -> Loaded:
    """Loads the model of a config.

    Raises a ValueError if neither the options nor the config name weights.

    Args:
        options: see `add_options`.
        config: a name or a file; None for the shipped config of these steps.
        steps: number of steps; None for the config's.
    """
    settings = load_config(config or BY_STEPS.get(steps or 0, OTHERWISE))
    if options.weights is None and settings.weights is None:
        raise ValueError(
            f"--config {settings.name} is for weights that are not shipped: give "
            "--weights"
        )
    folder = shipped.locate(options.weights or str(settings.weights))
    pipeline = Pipeline.load(
        folder, transformer=settings.transformer, dtype=options.dtype
    )
    sizes = wan(pipeline).sizes
    if options.tile is not None:
        transformer = replace(sizes.transformer, tile=tuple(options.tile))
        wan(pipeline).sizes = sizes = replace(sizes, transformer=transformer)
    own = settings.request.step_count
    request, card = with_fewer(settings.request, steps or own), Card.read(folder)
    names = stored_names(settings.transformer)
    stored = [names[part] for part in parts_of(card, settings.transformer)]
    return Loaded(
        settings.weights or Path(folder).name,
        steps or own,
        pipeline,
        request,
        {
            "dtype": sizes.transformer.dtype,
            "tile": sizes.transformer.tile,
            "weights": {name: card.part(name).fingerprint[:12] for name in stored},
        },
    )


def base_policy(file: Path | None, loaded: Loaded) -> tuple[Policy, str]:
    """The base policy, and a description of its origin.

    The policy is read from the file. Without a file, it is the one calibrated for these
    weights and steps, or else the default.
    """
    steps = loaded.steps
    if file is not None:
        return policy_file.read(file).policy.for_steps(steps), str(file)
    measured = calibrated(loaded.pipeline.fingerprints, steps)
    if measured is not None:
        return measured.policy, f"calibrated {loaded.name} {steps}"
    return default_policy(steps), "default"
