"""Compares settings of token budgets with equal work, to choose a preset from.

    python -m benchmarks.tokens.settings --name hsa-50
    python -m benchmarks.tokens.settings --name hsa-50 --size 144 --prompts 8

Settings of two groups differ in the period of the second group and in the numbers of
full steps at the start and at the end. Where the preset has one group, there are also
settings with other numbers of full steps at the start (`FIRST`), and some that run a
share of the tokens (`SLOW`) less often. All compute about the preset's work of 50 steps
on the shapes model; the tokens that are not run get TaylorSeer's forecasts. `psnr` and
`ssim` compare with the full run, over prompts that training saw. `fewer` runs the
preset's share of the steps. A row is named by each group's share and period.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np

from benchmarks.lib import rows
from benchmarks.lib.judged import with_errors
from benchmarks.reuse.models import Loaded, add_options, load_model
from benchmarks.tokens.arms import FORECASTS, TokenArm
from benchmarks.tokens.budgets import STEPS, scores
from chorus_jax.request import Request
from chorus_jax.token_budgets import TokenBudgets, TokenGroup
from chorus_jax.token_budgets.presets import PRESETS, OneGroup, TwoGroups
from chorus_jax.training.world.attributes import training_combinations
from chorus_jax.training.world.examples import prompts

KEY = ("preset_of", "size", "row")
COLUMNS = ("row", "preset_of", "size", "prompts", "equivalents", "psnr", "psnr_error")
PERIODS, EARLY, LATE = (2, 5, 10), (2, 8, 12, 16), (0, 2, 4)
FIRST, SLOW = (1, 2, 3, 4, 5), (0.04, 0.1, 0.3)


def settings(preset: OneGroup | TwoGroups) -> Iterator[TokenBudgets]:
    """The preset's token budgets, then others of about the same work."""
    made = [preset.budgets(STEPS), *of_two_groups(preset.work)]
    if isinstance(preset, OneGroup):
        made.extend(of_one_group(made[0]))
    yield from dict.fromkeys(made)


def of_two_groups(work: float) -> Iterator[TokenBudgets]:
    """The tokens of the first group are run in every step; `work` decides its share."""
    for period, early, late in product(PERIODS, EARLY, LATE):
        mean = (work * STEPS - early - late) / (STEPS - early - late)
        share = (mean - 1 / period) / (1 - 1 / period)
        if 0 < share < 1:
            groups = TokenGroup(share, STEPS), TokenGroup(1 - share, STEPS // period)
            yield TokenBudgets(STEPS, groups, early, late)


def of_one_group(preset: TokenBudgets) -> Iterator[TokenBudgets]:
    """Other full steps at the start, then a share of the tokens less often."""
    for early in FIRST:
        yield replace(preset, early=early)
    (group,), (period,) = preset.groups, preset.periods()
    longer = next(x for x in PERIODS if x > period)
    for share in SLOW:
        groups = replace(group, share=1 - share), TokenGroup(share, STEPS // longer)
        yield replace(preset, groups=groups, early=max(preset.early, 2))


def name(budgets: TokenBudgets) -> str:
    """The label of token budgets."""
    groups = zip(budgets.groups, budgets.periods())
    parts = [f"{100 * group.share:.3g} % every {period}" for group, period in groups]
    return ", ".join([*parts, f"{budgets.early} early", f"{budgets.late} late"])


def measured(
    loaded: Loaded, preset: OneGroup | TwoGroups, requests: Sequence[Request]
) -> Iterator[dict[str, Any]]:
    """Runs all settings; yields a row for each, and one for fewer steps."""
    videos = lambda arm, state: np.stack(arm.frames(state))
    run = TokenArm(loaded.pipeline, tuple(requests))
    full = videos(run, run())

    def row(label: str, arm: TokenArm) -> dict[str, Any]:
        state = arm()
        fidelity = map(scores, videos(arm, state), full)
        work = float(state.work.mean())
        return {"row": label, "equivalents": work, **with_errors(list(fidelity))}

    for budgets in settings(preset):
        given = tuple(x.changed(tokens=budgets) for x in requests)
        yield row(name(budgets), TokenArm(loaded.pipeline, given, FORECASTS["taylor"]))
    steps = round(preset.work * STEPS)
    fewer = tuple(x.changed(steps=steps) for x in requests)
    yield row("fewer", TokenArm(loaded.pipeline, fewer))


def main() -> None:
    """Measures, writes the rows, prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--name", choices=PRESETS, required=True)
    parser.add_argument("--size", type=int, default=64, help="of the videos, in pixels")
    parser.add_argument("--prompts", type=int, default=32)
    options = parser.parse_args()
    loaded = load_model(options, None, STEPS)
    drawn = prompts(training_combinations(), options.prompts, seed=9)
    requests = [
        loaded.request.changed(
            prompt=x.caption, height=options.size, width=options.size, seed=2000 + n
        )
        for n, x in enumerate(drawn)
    ]
    what = {"preset_of": options.name, "size": options.size, "prompts": len(requests)}
    made = []
    for row in measured(loaded, PRESETS[options.name], requests):
        made.append({**row, **what, **loaded.facts})
        print(rows.table(made[-1:], COLUMNS).splitlines()[-1], flush=True)
    rows.update("tokens_settings", made, KEY)
    print(rows.table(sorted(made, key=lambda row: -row["psnr"]), COLUMNS))


if __name__ == "__main__":
    main()
