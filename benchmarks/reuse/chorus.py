"""The saving and the cost of reusing earlier requests, on the shapes world.

    python -m benchmarks.reuse.chorus                       # both models, all arms
    python -m benchmarks.reuse.chorus --steps 50 --curve    # and the curve
    python -m benchmarks.reuse.chorus --rows --curve        # only the curve
    python -m benchmarks.reuse.chorus --policy FILE         # another base policy

Targets show combinations of attributes that training never saw. There are two sets,
each with its own cache, which holds a full run of every source. Sources are earlier
requests that differ from their target in one or two attributes (`changed`), or that say
the same in other words (`reworded`). All arms (see `arms`) make each target in turns,
with the target's own noise. `fewer` and `nirvana_equal` compute as many steps as
`chorus` (see `costs`). At 4 steps the distilled transformer runs.

A row has means over the hits of one set, or of one tier of it (`changed from 15`: hits
that begin at step 15); a replayed request raises an error. Rows of
`full`, `fewer` and `nirvana_equal` are over the hits of `chorus`. `accuracy_changed` is
the accuracy of the attributes in which a target differs from its source; for `seam` see
`seams`. Losses are differences from the full runs of the same targets, for detail as a
share, each with its standard error. The curve's points are policies of one tier, over
changed targets with a score above 0. First, a check ensures that an engine without
reuse makes exactly the pipeline's video.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from benchmarks.lib import rows
from benchmarks.reuse.arms import ARMS
from benchmarks.reuse.cases import changed_only, reworded_only
from benchmarks.reuse.comparison import ArmComparison, Row
from benchmarks.reuse.models import add_options, base_policy, load_model

KEY = ("row", "steps", "over")
COLUMNS = (
    *("row", "steps", "over", "targets", "hit_rate", "equivalents", "speedup_denoise"),
    *("speedup_denoise_best", "speedup_total", "speedup_best", "seconds", "spread"),
    *("accuracy", "accuracy_colour", "accuracy_shape", "accuracy_size"),
    *("accuracy_motion", "accuracy_background", "accuracy_changed", "detail"),
    *("render_db", "psnr", "ssim", "smoothness", "flicker", "seam", "same_as"),
)


def measure(options: argparse.Namespace, steps: int) -> None:
    """Measures one model and writes its rows."""
    loaded = load_model(options, None, steps)
    base, name = base_policy(options.policy, loaded)
    print(f"{steps} steps: the {name} policy is the base")
    comparison = ArmComparison(loaded, base, name)
    changed = changed_only().cases(options.changed, options.changed, seed=0)
    comparison.check_plain(changed)
    bench = comparison.filled(changed)
    if options.rows:
        write(comparison.arms(bench, options.rows), "changed")
    if options.curve:
        write(comparison.curve(bench, options.curve_targets), "hits")
    if options.rows and options.reworded:
        cases = reworded_only().cases(options.reworded, options.reworded, seed=0)
        write(comparison.arms(comparison.filled(cases), options.rows), "reworded")


def write(measured: Iterable[Row], over: str) -> None:
    """Writes the rows over one group of targets, such as `changed`, and its tiers."""
    wanted = [row for row in measured if row["over"].partition(" from ")[0] == over]
    rows.update("chorus", wanted, KEY)


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(top)
    top.add_argument("--steps", type=int, nargs="+", default=[50, 4])
    top.add_argument("--changed", type=int, default=400, help="targets")
    top.add_argument("--reworded", type=int, default=100, help="targets; 0: none")
    top.add_argument("--rows", nargs="*", choices=ARMS, default=list(ARMS))
    top.add_argument("--policy", type=Path, help="a JSON file; calibrated if unset")
    top.add_argument("--curve", action="store_true", help="measure the curve too")
    top.add_argument("--curve-targets", type=int, default=60)
    return top


def main() -> None:
    """Measures, writes the rows, prints the table."""
    options = parser().parse_args()
    rows.commit()  # rows need it: better to fail here than after an hour
    for steps in options.steps:
        measure(options, steps)
    here = rows.device()
    print(rows.table([x for x in rows.load("chorus") if x["device"] == here], COLUMNS))
    print(here)


if __name__ == "__main__":
    main()
