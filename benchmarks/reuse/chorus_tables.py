"""The tables that are drawn from the rows of `benchmarks.reuse.chorus`."""

from collections.abc import Iterator, Sequence

from benchmarks.lib.rows import table
from benchmarks.lib.tables import Draw, Row, Rows, check_one_model
from benchmarks.reuse.arms import ARMS, CACHED, EQUAL, FEWER, FULL, WHOLE

CURVE = "curve_"
MAIN = (FULL, FEWER, EQUAL, WHOLE, CACHED)
SHORT = (FULL, WHOLE, CACHED)
IDLE = {  # why an arm of the ladder may compute the same as the one before it
    "output_gain": "output gain 1",
    "key_gain": "key gain 1",
    WHOLE: "no region step",
    CACHED: "no step cache",
}


def of_arms(*names: str, steps: tuple[int, ...] = (50, 4)) -> "Selection":
    """A test of rows: whether they belong to these arms and numbers of steps."""
    return Selection(names, steps)


class Selection:
    """A test of rows (see `of_arms`)."""

    def __init__(self, names: Sequence[str], steps: Sequence[int]):
        self.names, self.steps = names, steps

    def __call__(self, row: Row) -> bool:
        return row["row"] in self.names and row["steps"] in self.steps


def arms(over: str, *names: str) -> Draw:
    """A function that draws figures of arms over `changed` or `reworded` hits."""

    def draw(rows: Rows) -> str:
        selected = [row for row in rows if row["over"] == over]
        if not selected:
            return f"No row over {over} was measured."
        check_one_model(selected)
        selected.sort(key=lambda row: (-row["steps"], ARMS.index(row["row"])))
        lines = [
            {"arm": name, **{label: figures.get(label) for label in names}}
            for name, figures in without_copies(selected)
        ]
        return f"{table(lines, ['arm', *names])}\n\nThese are {counted(selected)}"

    return draw


def by_kind(*names: str) -> Draw:
    """A function that draws figures of arms, first over `changed`, then `reworded`."""

    def draw(rows: Rows) -> str:
        check_one_model(rows)
        lines, counts = [], []
        for over in ("changed", "reworded"):
            same = [row for row in rows if row["over"] == over]
            same.sort(key=lambda row: (-row["steps"], ARMS.index(row["row"])))
            # For rewordings, full runs are left out: their speed-ups are 1.
            shown = same if over == "changed" else same_but_full(same)
            for arm, row in without_copies(shown):
                figures = {name: row.get(name) for name in names}
                lines.append({"hits": f"{over}, {arm}", **figures})
            if same:
                counts.append(f"{over}: {counted(same)}")
        return f"{table(lines, ['hits', *names])}\n\n{' '.join(counts)}"

    return draw


def same_but_full(rows: Rows) -> Rows:
    """The rows of all arms but the full runs."""
    return [row for row in rows if row["row"] != FULL]


def counted(rows: Rows) -> str:
    """A phrase with the number of targets of the rows, per number of steps."""
    counts = {row["steps"]: row["targets"] for row in rows}
    parts = [f"{count} targets at {steps} steps" for steps, count in counts.items()]
    return f"means over {', '.join(parts)}."


def without_copies(rows: Rows) -> Iterator[tuple[str, Row]]:
    """Yields each row's label and figures.

    An arm that computes the same as an arm that is already drawn is left out. One that
    computes the same as an arm without a row is labelled with that arm.
    """
    drawn = set[tuple[int, str]]()
    for row in rows:
        name = str(row["row"])
        run = str(row.get("same_as", name))
        if (row["steps"], run) not in drawn:
            drawn.add((row["steps"], run))
            yield f"{row['steps']} steps, {with_reason(name, run)}", row


def with_reason(name: str, same: str) -> str:
    """An arm's name and, if it computes the same as another arm, which and why."""
    if name == same:
        return name
    between = ARMS[ARMS.index(same) + 1 : ARMS.index(name) + 1]
    why = ", ".join(IDLE[arm] for arm in between if arm in IDLE)
    return f"{name} (= {same}{why and f': {why}'})"


def of_gains(name: str) -> bool:
    """Whether a row may be in the table of gains: gains, stage 1 alone, or full."""
    return name.startswith(tuple(f"{CURVE}{way}" for way in ("gains", "stage1", FULL)))


def gains(rows: Rows) -> str:
    """Draws a line per gain, one without gain from the same step on, and a full run.

    Each line has two figures per number of steps.
    """
    gained = [row for row in rows if row["row"].startswith(f"{CURVE}gains")]
    places = {(row["steps"], row["reuse_until"]) for row in gained}
    counts = sorted({steps for steps, _ in places}, reverse=True)
    shown = [
        row
        for row in rows
        if row["steps"] in counts
        and (row["steps"], row.get("reuse_until")) in {*places, (row["steps"], None)}
    ]
    check_one_model(shown)
    lines: dict[str, Row] = {}
    for row in sorted(shown, key=lambda row: row.get("reuse_until", 0)):
        line = lines.setdefault(gain_of(row), {"gain": gain_of(row)})
        for name in ("accuracy_changed", "detail"):
            line[f"{name}, {row['steps']} steps"] = row[name]
    names = [
        f"{name}, {n} steps" for n in counts for name in ("accuracy_changed", "detail")
    ]
    begins = ", ".join(f"{first} of {steps}" for steps, first in sorted(places)[::-1])
    return (
        f"{table([*lines.values()], ['gain', *names])}\n\nGains from step {begins} on."
    )


def gain_of(row: Row) -> str:
    """A label with the gains of a point of the curve, such as `keys 1.5`."""
    if "key_gain" not in row:
        return "no reuse"
    key, output = row["key_gain"], row["output_gain"]
    if key == output == 1:
        return "none"
    return f"keys {key:g}" if output == 1 else f"output {output:g}"
