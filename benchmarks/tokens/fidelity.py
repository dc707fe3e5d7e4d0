"""Compares token budgets with full runs over several large videos, without times.

    python -m benchmarks.tokens.fidelity --arms hsa-50 fewer-50 tea-50

The model is the shapes model with 50 steps, the prompts are held out, and the videos
have --size pixels in height and width (288: 1296 tokens), more than in its training.
The arms are those of `benchmarks.tokens.budgets`. `psnr` and `ssim` compare with the
full run's video of the same prompt and seed, `NAME_error` is the standard error of a
mean. A row is written as soon as it is measured.
"""

import argparse
from collections.abc import Collection, Iterator
from typing import Any

from benchmarks.lib import rows
from benchmarks.lib.judged import with_errors
from benchmarks.reuse.models import Loaded, add_options, load_model
from benchmarks.tokens.arms import arms, chosen_of
from benchmarks.tokens.budgets import KEY, STEPS, row_of, scores
from chorus_jax.training.world.attributes import held_out_combinations
from chorus_jax.training.world.examples import prompts

COLUMNS = ("row", "tokens", "prompts", "equivalents", "psnr", "psnr_error", "ssim")


def compared(
    loaded: Loaded, size: int, count: int, wanted: Collection[str]
) -> Iterator[dict[str, Any]]:
    """Compares large videos with their full runs; yields a row per arm.

    Args:
        loaded: the model.
        size: height and width of the videos, in pixels.
        count: the number of prompts.
        wanted: the arms (see `chosen_of`).
    """
    sized = loaded.request.changed(height=size, width=size)
    drawn = prompts(held_out_combinations(), count, seed=0)
    requests = [sized.changed(prompt=x.caption, seed=n) for n, x in enumerate(drawn)]
    ways = chosen_of(arms(loaded.pipeline, requests), wanted)
    plain = ways.pop("full")
    full = plain.frames(plain())
    for name, arm in ways.items():
        state = arm()
        fidelity = list(map(scores, arm.frames(state), full))
        yield {
            **row_of(loaded, name, requests, state),
            **with_errors(fidelity),
            "psnr_each": [round(x["psnr"], 2) for x in fidelity],
        }


def main() -> None:
    """Measures, prints the table, writes the rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--size", type=int, default=288)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--arms", nargs="+", default=(), help="only these")
    options = parser.parse_args()
    loaded = load_model(options, None, STEPS)
    rows.drop_other_weights("tokens_fidelity", loaded.facts["weights"])
    measured = []
    for row in compared(loaded, options.size, options.prompts, options.arms):
        rows.update("tokens_fidelity", [row], KEY)
        measured.append(row)
        print(rows.table(measured[-1:], COLUMNS).splitlines()[-1], flush=True)
    print(rows.table(measured, COLUMNS))


if __name__ == "__main__":
    main()
