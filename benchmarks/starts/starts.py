"""Compares hits that begin at different steps with full runs.

    python -m benchmarks.starts.starts
    python -m benchmarks.starts.starts --steps 50 --targets 64 --at 10 20

Targets show combinations of attributes that training never saw; their sources differ in
one attribute, or in wording only, and every target has its own seed. Each start is a
policy of one tier for every score: stage 1 up to a step K1, and with `--regions` a
region of half of the tiles from K1 to a later step K2.

    full      all steps, from the target's own noise
    renoised  the source's clean latents with the target's own noise at K1
    mixed     like `renoised`, with noise half from the target and half from the source
    source    like `renoised`, with the source's noise alone, as if the request had the
              source's seed (see `Task.noise_from`)
    by_place  like `renoised`, with the target's noise in the half of all positions
              where the two videos differ most, and the source's elsewhere (see `mixed`)

    policy    the policy calibrated for these weights, whose hits begin where their
              scores allow; its misses are left out

`variety` is the distance between the videos of two seeds of the same prompt (root mean
square difference of pixels), divided by that of the two full runs: 1 if a seed has as
much effect as without reuse, 0 if it has none. It is measured on targets that are hits
of the policy. Times are not measured here (see `benchmarks.reuse.chorus`).
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

from benchmarks.lib import rows
from benchmarks.reuse.arms import FULL, stage1_at, with_only
from benchmarks.reuse.bench import Bench
from benchmarks.reuse.cases import WORDING, held_out
from benchmarks.reuse.comparison import hits_of
from benchmarks.reuse.models import Loaded, add_options, base_policy, load_model
from benchmarks.reuse.running import Reusing
from benchmarks.reuse.scores import rows_of
from benchmarks.reuse.turns import in_turns
from benchmarks.starts.mixed import Mixing, MixingByPlace
from benchmarks.starts.seeds import KINDS, SeedPairs, first_hits, with_source
from chorus_jax.inter_request.policy.policy import Policy, Tier

KEY = ("row", "steps", "over")
COLUMNS = (
    *("row", "steps", "over", "targets", "equivalents", "accuracy_changed"),
    *("accuracy_changed_loss_error", "accuracy", "detail", "render_db", "variety"),
)
# By number of steps: the steps K1, and K2 of regions.
FIRST = {50: (10, 15, 20, 25), 4: (1, 2)}
REGION_UNTIL = {50: 40, 4: 3}
POLICY = "policy"


@dataclass(frozen=True)
class StartPoints:
    """The steps K1 at which hits begin, and whether regions follow.

    Attributes:
        first: steps K1.
        region_until: the step K2 of regions; 0 for none.
        mixed: whether starts with the source's noise, or a part of it, are compared.
    """

    first: Sequence[int]
    region_until: int = 0
    mixed: bool = False

    def arms(self, bench: Bench, base: Policy) -> dict[str, Reusing]:
        """The arms by name: a full run, `base`, and the starts of each step K1."""
        made = {FULL: Reusing(bench, Policy(base.steps, ()))}
        made[POLICY], last = Reusing(bench, base), self.region_until
        for first in self.first:
            start = stage1_at(base, first)
            made[f"renoised_{first}"] = Reusing(bench, start)
            if self.mixed:
                made[f"mixed_{first}"] = Mixing(bench, start)
                made[f"source_{first}"] = Mixing(bench, start, share=1.0)
                made[f"by_place_{first}"] = MixingByPlace(bench, start)
            if last > first + 1:
                region = with_only(base, Tier(0.0, first, last, active=0.5))
                made[f"renoised_{first}_{last}_half"] = Reusing(bench, region)
        return made


def measured(
    loaded: Loaded, points: StartPoints, targets: int, varied: int
) -> Iterator[dict[str, Any]]:
    """Measures the starts of these points; yields their rows.

    Args:
        loaded: the model.
        points: the steps at which hits begin.
        targets: the number of targets.
        varied: the number of targets that `variety` is measured on, of each kind.
    """
    kinds = replace(held_out(), changes=(1, 1, 1, WORDING))
    cases, (base, _) = kinds.cases(targets, targets, seed=0), base_policy(None, loaded)
    bench = Bench.filled(loaded.pipeline, loaded.request, cases, base.look)
    arms, own = points.arms(bench, base), with_source(bench)
    records = in_turns(own, arms, FULL, f"{loaded.steps} steps")
    full, numbers = ({x.number: x for x in records[FULL]}, {x.number for x in own})
    hits = [x for x in own if x.number in hits_of(records[POLICY])]
    seeds = {
        kind: SeedPairs.of(bench, arms[FULL], first_hits(hits, kind, varied))
        for kind in KINDS
    }
    for name in tqdm(arms, desc="variety"):
        over = hits_of(records[name]) if name == POLICY else numbers
        for row in rows_of(records[name], full, over):
            if row["over"] in KINDS:
                if name != FULL:
                    row |= seeds[row["over"]].variety(arms[name])
                yield {"row": name, "steps": loaded.steps, **untimed(row)}


def untimed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a row without times."""
    return {k: v for k, v in row.items() if not k.startswith(("seconds", "speedup"))}


def main() -> None:
    """Measures, writes the rows, prints the table."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(top)
    top.add_argument("--steps", type=int, nargs="+", default=[50, 4])
    top.add_argument("--targets", type=int, default=64)
    top.add_argument(
        "--varied", type=int, default=12, help="targets of each kind of `variety`"
    )
    top.add_argument("--at", type=int, nargs="+", help="steps K1")
    top.add_argument("--regions", action="store_true", help="regions after K1 too")
    top.add_argument("--mixed", action="store_true", help="mixtures of noise too")
    options = top.parse_args()
    rows.commit()  # rows need it: better to fail here than after an hour
    for steps in options.steps:
        loaded = load_model(options, None, steps)
        until = REGION_UNTIL.get(steps, 0) if options.regions else 0
        points = StartPoints(options.at or FIRST[steps], until, options.mixed)
        made = list(measured(loaded, points, options.targets, options.varied))
        made = [{**row, **loaded.facts} for row in made]
        rows.update("starts", made, KEY)
        print(rows.table(made, COLUMNS))
    print(rows.device())


if __name__ == "__main__":
    main()
