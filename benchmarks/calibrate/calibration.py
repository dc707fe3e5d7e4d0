"""Calibrates a policy on the shapes world: how much is reused at which score.

    python -m benchmarks.calibrate --steps 50
    python -m benchmarks.calibrate --steps 4 --minutes 30
    python -m benchmarks.calibrate --weights DIR --config FILE --name NAME

First it measures which words matter (see `look`), which gives the scores, and then at
which difference outside a region all tokens must run (see `limit`). Then a few plans
are run on all targets; the search begins with the best way to assign them to scores
within half of the limits (see `start`). From there, one setting after another is
changed by one place on its grid; settings that save most and are cheapest to measure
come first: step caches, thresholds, one more tier, active share, boundaries, how
regions are found, halo, context, dilation, gains, the limit of regions (see `moves`). A
change that computes less is taken if, over all hits, at most one in two hundred shows
anything wrong that its full run has right, and they lose at most two per cent of
detail; in a tier of the policy it may be three in two hundred and four per cent, since
few hits cannot show a smaller loss. Only attributes that the model renders reliably
count: it would take a thousand hits to detect a loss of one point in another attribute.
Attributes that the source shares with the target are compared with the source's own
video, which the hit takes over, right or wrong; the others with the full run. Of
policies that compute the same, a new one is taken only if it is better by more than
chance (see `verdict`). No run is repeated, and a policy that clearly fails on a part of
the targets is given up. The rows of `calibrate_tried` say what was tried, what it lost
and why it was taken or not; if the time ends before one whole round, they also say what
was not tried.

Targets and sources show combinations of attributes from training, never held-out ones.
Prompts are drawn in pairs: each is a target, and a source of the other side of the
pairs, so every full run serves twice. A sixth of the pairs differs much, since
otherwise no threshold would be too low. All policies make the same targets from the
same noise, so that losses are paired. Even so, one point is one target in a hundred,
and the best of many policies is partly the best by chance. Therefore every policy that
was the best at some point of the search, also with higher thresholds, is measured on
fresh targets, and the cheapest one within the limits there is written. These limits
allow twice as many wrong hits as the search does: one in a hundred over all hits, three
in a hundred in a tier. The loss of a tier may exceed its limit by its standard error,
since otherwise even a policy that loses nothing would often fail; the loss over all
hits may not.
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.calibrate import limit as calibrate_limit
from benchmarks.calibrate import look as calibrate_look
from benchmarks.calibrate import plans as calibrate_plans
from benchmarks.calibrate import tried as calibrate_tried
from benchmarks.calibrate.policy import SceneCalibration
from benchmarks.lib import rows
from benchmarks.reuse.losses import ALLOWED
from benchmarks.reuse.models import Loaded, add_options, load_model
from chorus_jax.calibration import start as calibrate_start
from chorus_jax.calibration.plan_table import PlanTable
from chorus_jax.calibration.search import Search
from chorus_jax.engine import sampler_of
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy import policy_file
from chorus_jax.inter_request.policy.policies import calibrated_file, default_policy
from chorus_jax.inter_request.policy.policy import Policy
from chorus_jax.inter_request.policy.policy_file import Measured

WEIGHT = 1.0  # the score is the cosine, minus the chance that a word is lost
# Shares of the limits that the search's starts may lose. The rest is left for what the
# search adds: step caches save most, but may lose a hit of their own.
SHARES = (0.0, 0.25, 0.5)
KEY = ("row", "name", "steps")  # without `over`, whose values may differ between runs
LOST = tuple(f"{name}_loss" for name in ALLOWED)
COLUMNS = (
    *("name", "steps", "split", "row", "over", "targets", "hit_rate", "equivalents"),
    *("accuracy", "accuracy_loss", "accuracy_changed", "accuracy_changed_loss"),
    *("accuracy_reliable_loss", "changed_reliable_loss"),
    *("detail", "detail_loss", "render_db", "seam"),
)


def calibrate(options: argparse.Namespace) -> None:
    """Measures one model, writes its policy and its rows."""
    loaded = load_model(options, options.config, options.steps)
    steps, name = loaded.steps, options.name or loaded.name
    begin = default_policy(steps)
    if options.policy is not None:
        begin = policy_file.read(options.policy).policy.for_steps(steps)
    what = {"name": name, "steps": steps}
    if options.look is not None:
        begin = replace(begin, look=policy_file.read(options.look).policy.look)
    elif options.policy is None:
        begin, measured = looking(loaded, begin, options.pairs)
        rows.update("calibrate", [{**row, **what} for row in measured], KEY)
    calibration = SceneCalibration.of(loaded, begin, options)
    starts = [begin]
    if options.policy is None:
        begin = limiting(calibration, begin, what | loaded.facts)
        table = PlanTable.measured(calibration.runs, begin)
        record_plans(table, what | loaded.facts)
        starts = calibrate_start.starts(table, calibration.moves, begin, SHARES)
    # Before the search, so that there are rows on the cost of reuse even if it fails.
    first = {"full": Policy(steps, ()), "start": starts[-1]}
    record(calibration, first, what | loaded.facts)
    search = calibration.search(60 * options.minutes)
    search.run(starts[-1])
    record_tried(search, what | loaded.facts)
    policy = calibration.chosen(starts, search.accepted)
    path = options.out or calibrated_file(name, steps)
    path.parent.mkdir(exist_ok=True)
    prints, sampler = loaded.pipeline.fingerprints, sampler_of(loaded.request)
    policy_file.write(path, Measured(policy, prints, sampler))
    record(calibration, {"chosen": policy}, what | loaded.facts)
    print(path)


def looking(
    loaded: Loaded, policy: Policy, count: int
) -> tuple[Policy, list[dict[str, Any]]]:
    """The policy with a second look measured on `count` pairs, and its rows."""
    pairs = list(calibrate_look.pairs(loaded, count))
    sensitivity = calibrate_look.fitted(pairs)
    look = SecondLook(WEIGHT, sensitivity)
    rungs = [*calibrate_look.ladder(loaded.steps)]
    attributes = calibrate_look.rows_of(pairs, sensitivity, rungs)
    common = {"split": "look", "over": "pairs", **loaded.facts}
    measured = [{**row, **common} for row in attributes]
    shown = ("row", "pairs", "right", "lost", "sensitivity", "lost_at")
    print(rows.table(measured, shown))
    return replace(policy, look=look), measured


def limiting(
    calibration: SceneCalibration, policy: Policy, what: Mapping[str, Any]
) -> Policy:
    """Measures the limit of regions; writes its rows, returns the policy with it."""
    tried = calibrate_limit.limits(calibration.runs, calibration.moves, policy)
    measured = [{**row, **what} for row in calibrate_limit.rows_of(tried, policy)]
    rows.update("calibrate", measured, KEY)
    print(rows.table(measured, ("limit", "targets", "equivalents", "excess", *LOST)))
    return calibrate_limit.limited(policy, tried)


def record_plans(table: PlanTable, what: Mapping[str, Any]) -> None:
    """Writes the rows of a table of plans, and prints them.

    Args:
        table: the measured plans.
        what: fields that are added to every row.
    """
    measured = [{**row, **what} for row in calibrate_plans.rows_of(table)]
    rows.update("calibrate_plans", measured, calibrate_plans.KEY)
    print(rows.table(measured, calibrate_plans.COLUMNS))


def record(
    calibration: SceneCalibration,
    policies: Mapping[str, Policy],
    what: Mapping[str, Any],
) -> None:
    """Measures policies, and writes their rows.

    Args:
        calibration: the targets.
        policies: policies by the name of their rows.
        what: fields that are added to every row.
    """
    described = {name: asdict(policy) for name, policy in policies.items()}
    measured = calibration.rows(policies)
    rows.update(
        "calibrate",
        [{**row, **what, "policy": described[row["row"]]} for row in measured],
        KEY,
    )


def record_tried(search: Search, what: Mapping[str, Any]) -> None:
    """Writes the rows of a search's trials, and prints their table.

    Also prints which settings there was no time to try.

    Args:
        search: the finished search.
        what: fields that are added to every row.
    """
    measured = [{**row, **what} for row in calibrate_tried.rows_of(search)]
    rows.update("calibrate_tried", measured, calibrate_tried.KEY)
    print(calibrate_tried.table(measured))
    if sentence := calibrate_tried.unfinished(search):
        print(sentence)


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(top)
    top.add_argument("--config", help="a name or a file; by the steps if unset")
    top.add_argument("--steps", type=int, help="the config's if unset")
    top.add_argument("--name", help="of the policy; that of the weights if unset")
    top.add_argument("--out", type=Path, help="beside the package's if unset")
    top.add_argument("--policy", type=Path, help="to begin with, in place of default")
    top.add_argument("--look", type=Path, help="of this policy, in place of measured")
    top.add_argument("--pairs", type=int, default=240, help="to find words that matter")
    top.add_argument("--targets", type=int, default=160, help="that are searched on")
    top.add_argument("--fresh", type=int, default=80, help="that confirm the result")
    top.add_argument(
        "--minutes", type=float, default=60, help="of search, after the table of plans"
    )
    return top


def main() -> None:
    """Calibrates, writes the policy and the rows, prints the table."""
    options = parser().parse_args()
    rows.commit()  # rows need it: better to fail here than after an hour
    try:
        calibrate(options)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    here = rows.device()
    measured = [row for row in rows.load("calibrate") if row["device"] == here]
    measured = [row for row in measured if row["split"] not in ("look", "limit")]
    print(rows.table(measured, COLUMNS))
    print(here)
