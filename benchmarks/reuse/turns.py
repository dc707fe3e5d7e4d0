"""Runs all arms on every target in turns, so that their times can be compared."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from benchmarks.reuse.bench import Target
from benchmarks.reuse.running import Arm
from benchmarks.reuse.scores import harm, scored
from chorus_jax.calibration.record import TargetRecord

Records = dict[str, list[TargetRecord]]


def in_turns(
    targets: Sequence[Target], arms: Mapping[str, Arm], full: str, label: str
) -> Records:
    """Runs the arms in turns and returns their records.

    All arms make a target before the next target begins; each time, another arm is the
    first. When a program is needed for the first time, the arm runs twice: the first
    run, which compiles, does not count.

    Args:
        targets: the targets.
        arms: the arms by name.
        full: the name of the arm with which all arms are compared.
        label: the label of the progress bar.
    """
    names, warm = list(arms), set()
    records: Records = defaultdict(list)
    for turn, target in enumerate(tqdm(targets, desc=label, unit="target")):
        first, made = turn % len(names), {}
        for name in names[first:] + names[:first]:
            arm = arms[name]
            program = arm.program(target)
            if program not in warm:
                arm(target)
                warm.add(program)
            made[name] = arm(target)
        judged = {name: scored(target, made[name], made[full]) for name in names}
        for name, ours in judged.items():
            scores = ours | harm(target, ours, judged[full])
            records[name].append(TargetRecord(target.number, made[name].ledger, scores))
    return records
