"""Cold starts: the traffic, rows of windows, and which prompts are near."""

from collections import Counter

import numpy as np
import pytest

from benchmarks.reuse import cold_start_prompts
from benchmarks.reuse.cold_start import ServedRequest, Traffic, windows
from chorus_jax.engine import Ledger
from chorus_jax.training.world.attributes import held_out_combinations


def test_popularity_falls_as_the_exponent_says_and_wordings_differ():
    traffic = Traffic.of(held_out_combinations(), 20, 1.0)
    assert len(set(traffic.meanings)) == 20
    asked = list(traffic.prompts(2000, seed=0))
    assert asked == list(traffic.prompts(2000, seed=0))
    counts = Counter(each.attributes[0] for each in asked)
    first, tenth = (counts[traffic.meanings[rank - 1]] for rank in (1, 10))
    assert first / tenth == pytest.approx(10, rel=0.3)
    popular = {x.caption for x in asked if x.attributes[0] == traffic.meanings[0]}
    assert len(popular) > 50


def test_a_window_tells_its_own_requests_beside_all_without_a_cache():
    def served(kind, equivalents, seconds, accuracy):
        return ServedRequest(Ledger(kind, 4, equivalents), seconds, accuracy)

    miss, hit = served("miss", 4.0, 2.0, 1.0), served("semantic", 1.0, 0.5, 0.5)
    first, last = windows([miss, hit, hit], [miss, served("miss", 4.0, 4.0, 0.0)], 2)
    assert (first["hit_rate"], last["hit_rate"]) == (0.5, 1.0)
    assert (first["until"], last["until"]) == (2, 3)
    assert first["equivalents"] == 2.5 and last["seconds"] == 0.5
    assert last["baseline_seconds"] == 3.0 and last["ratio"] == pytest.approx(1 / 6)
    assert last["baseline_accuracy"] == 0.5


def test_prompts_are_looked_up_among_those_before_them():
    prompts = ["a red cat", "a dog", "a red cat", "a cat red"]
    vectors = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)
    axes = {"a": 0, "red": 1, "cat": 2, "dog": 3}
    words = [np.eye(4, dtype=np.float16)[[axes[x] for x in p.split()]] for p in prompts]
    words[3][2] *= np.float16(0.5)  # "red" means something else where it stands last
    embedded = list(zip(vectors, words, strict=True))
    found = list(cold_start_prompts.looked_up(prompts, embedded, "some"))
    assert [repeat for repeat, _, _ in found] == [False, False, True, False]
    assert [cosine for _, cosine, _ in found] == [-1.0, 0.0, 1.0, 1.0]
    assert found[0][2] == -1.0 and found[2][2] == 1.0 and 0.8 < found[3][2] < 1.0


def test_windows_of_prompts_cover_all_once():
    found = [(i >= 5, 0.85, 0.75) for i in range(10)]
    rows = list(cold_start_prompts.windows(found, 4))
    assert [row["until"] for row in rows] == [3, 6, 8, 10]
    assert rows[0]["repeats"] == 0 and rows[-1]["repeats"] == 1
    assert rows[0]["cosine_80"] == 1 and rows[0]["score_80"] == 0
