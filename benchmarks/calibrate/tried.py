"""Rows and a table of a search's trials, and why they were taken or not."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from benchmarks.lib import rows as measured
from benchmarks.lib.tables import Row, Rows, check_one_model
from chorus_jax.calibration.search import MORE, NOTHING, Search, Trial
from chorus_jax.inter_request.policy.policy import Policy, Regions
from chorus_jax.intra_request.registry import describe

NO_TIME = "no time"  # the minutes ended before all changes of the first round
NONE = "nothing new"  # all its changes had been tried for other coordinates
NOT_RUN = (MORE, NOTHING, NO_TIME, NONE)
KEY = ("name", "steps")  # a new search's rows replace those of the previous one
REGIONS = {field.name for field in fields(Regions)}


def rows_of(search: Search) -> Rows:
    """Rows of a search, in the order of its coordinates.

    There is a row for each policy that was run, named after the coordinate in which it
    differs from the best policy so far, and a row for each coordinate and reason with
    the number of `policies` that were not run. `rounds` is the number of finished
    rounds. If a policy was given up, `equivalents` and losses are means over its first
    `targets`.
    """
    names = list(search.coordinates)
    rows = sorted(_rows(search), key=lambda row: names.index(row["row"]))
    return [{**row, "rounds": search.rounds} for row in rows]


def _rows(search: Search) -> Iterator[Row]:
    untried = set(search.coordinates)
    for number, trial in enumerate(search.trials):
        untried.discard(trial.coordinate)
        yield {"row": trial.coordinate, "number": number, **figures(trial)}
    for (name, why), count in search.passed.items():
        untried.discard(name)
        yield {"row": name, "why": why, "policies": count}
    for name in search.untried:
        untried.discard(name)
        yield {"row": name, "why": NO_TIME}
    for name in untried:
        yield {"row": name, "why": NONE}


def figures(trial: Trial) -> Row:
    """A trial's change, the costs of its policy and the best one, and its losses."""
    verdict, best, lost = trial.verdict, trial.best, trial.verdict.most_lost
    return {
        "from": value(trial.before, trial.coordinate),
        "to": value(trial.after, trial.coordinate),
        "taken": trial.taken,
        "why": trial.why,
        "targets": verdict.targets,
        "equivalents": verdict.equivalents,
        "best_equivalents": best.equivalents,
        "excess": verdict.excess,
        "best_excess": best.excess,
        **{f"{name}_loss": loss.mean for name, loss in lost.items()},
        **{f"{name}_loss_error": loss.error for name, loss in lost.items()},
    }


def value(policy: Policy, coordinate: str) -> Any:
    """A policy's value of a coordinate; a list if each tier has its own value.

    The value of `tiers` is the list of their thresholds.
    """
    if coordinate in REGIONS:
        return getattr(policy.regions, coordinate)
    if coordinate == "cache":
        return describe(policy.cache)
    name = "least" if coordinate == "tiers" else coordinate
    return [getattr(tier, name) for tier in policy.tiers]


def unfinished(search: Search) -> str:
    """A sentence about the untried coordinates of a search; "" if there are none."""
    if not search.untried:
        return ""
    first, *others = search.untried
    missing = f"not all of {first}" + (
        f", nothing of {', '.join(others)}" if others else ""
    )
    return (
        f"the minutes ended before one whole round: {missing} was tried; give more "
        "--minutes, or fewer --targets"
    )


def table(rows: Rows) -> str:
    """Draws a line per coordinate: how many changes were tried and taken.

    Further columns have the largest saving of a change, and the number of changes that
    were not taken or not run, by reason.
    """
    check_one_model(rows)
    lines = [of_coordinate(same) for same in grouped(rows).values()]
    return measured.table(lines, list(lines[0]))


def summary(rows: Rows) -> str:
    """Draws, per coordinate and number of steps, the changes tried and taken.

    Leaves out what was not tried.
    """
    check_one_model(rows)
    lines: dict[str, Row] = {}
    for (steps, _, name), same in grouped(rows).items():
        counts = of_coordinate(same)
        if not counts["tried"]:
            continue
        line = lines.setdefault(name, {"changed": name})
        late = "" if counts["all in time"] == "yes" else " (not all in time)"
        line[f"tried, {steps} steps"] = f"{counts['tried']}{late}"
        saved = counts["most saved (equivalents)"]
        why = f" (saves {saved:.3g} equivalents)" if saved else ""
        line[f"taken, {steps} steps"] = f"{counts['taken']}{why}"
    names = dict.fromkeys(name for line in lines.values() for name in line)
    return measured.table([*lines.values()], list(names))


def grouped(rows: Rows) -> dict[tuple[int, str, str], Rows]:
    """Rows by steps, policy and coordinate."""
    groups: dict[tuple[int, str, str], Rows] = {}
    for row in rows:
        groups.setdefault((row["steps"], row["name"], row["row"]), []).append(row)
    return groups


def of_coordinate(rows: Rows) -> Row:
    """The table line of one coordinate, from all rows of that coordinate."""
    tried = [row for row in rows if row["why"] not in NOT_RUN]
    taken = [row for row in tried if row["taken"]]
    saved = [row["best_equivalents"] - row["equivalents"] for row in taken]
    ended = any(row["why"] == NO_TIME for row in rows)
    why = lambda name: sum(row.get("policies", 1) for row in rows if row["why"] == name)
    return {
        "steps": rows[0]["steps"],
        "changed": rows[0]["row"],
        "tried": len(tried),
        "taken": len(taken),
        "most saved (equivalents)": max(saved, default=None),
        **{f"{name}": why(name) for name in ("given up", "loses too much")},
        **{f"{name}": why(name) for name in ("no better", MORE, NOTHING)},
        "all in time": "no" if ended else "yes",
        "whole rounds": rows[0]["rounds"],
    }
