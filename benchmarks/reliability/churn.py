"""Many admissions and deletions: do index, store and folder agree?"""

import random
from pathlib import Path

from tqdm import tqdm

from benchmarks.reliability.entries import NAMESPACE, made, right
from benchmarks.reliability.outcome import AttackOutcome
from chorus_jax.inter_request.index import ExactIndex
from chorus_jax.inter_request.match.matching import Matcher
from chorus_jax.inter_request.store import Store


def admissions(folder: Path, count: int) -> AttackOutcome:
    """Admits `count` entries, deletes one in three, and checks the remaining ones."""
    outcome, chance = AttackOutcome(count), random.Random(0)
    there: set[int] = set()
    with Store(0, folder=folder, disk_bytes=2**34) as store:
        matcher = Matcher(store, ExactIndex)
        for number in tqdm(range(count), desc="admissions"):
            store.admit(made(number))
            there.add(number)
            if number % 3 == 2:
                gone = chance.choice((number, number - 1, number - 2))
                if gone in there:
                    store.delete(f"{gone:032x}")
                    there.discard(gone)
        outcome.wrong += {int(id, 16) for id in matcher.shelves.places} != there
        matcher.shelves.close()
    with Store(0, folder=folder, disk_bytes=2**34) as store:
        present = {int(head.id, 16) for head in store}
        outcome.lost = len(there - present)
        outcome.wrong += len(present - there)
        for number in tqdm(chance.sample(sorted(present), min(500, len(present)))):
            entry = store.get(f"{number:032x}", NAMESPACE)
            outcome.wrong += entry is None or not right(entry)
    return outcome
