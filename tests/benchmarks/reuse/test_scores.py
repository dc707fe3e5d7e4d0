"""Rows and losses of made-up ledgers and videos."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.reuse.bench import Target
from benchmarks.reuse.losses import REPORTED
from benchmarks.reuse.running import ArmRun
from benchmarks.reuse.scores import HARM, figures, harm, of_reliable, rows_of, scored
from chorus_jax.calibration.losses import losses
from chorus_jax.calibration.record import TargetRecord
from chorus_jax.engine import Ledger
from chorus_jax.request import Request
from chorus_jax.training.world.attributes import VALUES, Attributes
from chorus_jax.training.world.captions import caption
from chorus_jax.training.world.examples import ScenePrompt
from chorus_jax.training.world.render import render

ASKED = Attributes("red", "circle", "small", "left", "gray")


def took(denoise, rest=1.0):
    return {"embed": rest / 2, "denoise": denoise, "decode": rest / 2}


def full(number, accuracy=1.0, detail=0.8):
    scores = {"accuracy": accuracy, "accuracy_changed": accuracy, "detail": detail}
    return TargetRecord(number, Ledger("miss", 10, 10.0, seconds=took(9.0)), scores)


def hit(number, denoise=4.0, accuracy=1.0, detail=0.8, until=5):
    ledger = Ledger(
        "semantic", 10, 10.0 - until, 0.9, "a", until, until, seconds=took(denoise)
    )
    scores = {"accuracy": accuracy, "accuracy_changed": accuracy, "detail": detail}
    return TargetRecord(number, ledger, scores)


@pytest.fixture
def reference():
    return {number: full(number) for number in range(4)}


def test_hits_and_all_are_apart(reference):
    records = [hit(0), hit(1), full(2), full(3)]
    over = {row["over"]: row for row in rows_of(records, reference, {0, 1})}
    assert over.pop("changed from 5") == {**over["changed"], "over": "changed from 5"}
    assert list(over) == ["hits", "changed", "all"]
    assert [row["targets"] for row in over.values()] == [2, 2, 4]
    assert {row["hit_rate"] for row in over.values()} == {0.5}
    assert [row["equivalents"] for row in over.values()] == [5, 5, 7.5]
    assert over["hits"]["speedup_denoise"] == 9 / 4
    assert over["hits"]["speedup_total"] == 10 / 5
    assert over["all"]["speedup_total"] == (2 + 2 + 1 + 1) / 4
    assert (over["hits"]["seconds"], over["all"]["seconds"]) == (5, 7.5)


def test_hits_that_say_the_same_in_other_words_are_apart(reference):
    same = hit(1)
    del same.scores["accuracy_changed"]
    over = {x["over"]: x for x in rows_of([hit(0), same], reference, {0, 1})}
    assert list(over) == ["hits", "changed", "reworded", "all", "changed from 5"]
    assert [row["targets"] for row in over.values()] == [2, 1, 1, 2, 1]
    assert "accuracy_changed" not in over["reworded"]


def test_the_hits_of_each_tier_are_apart(reference):
    late = hit(1)
    late = replace(late, ledger=replace(late.ledger, reuse_until=7))
    over = {x["over"]: x for x in rows_of([hit(0), late], reference, {0, 1})}
    assert [over[f"changed from {k}"]["targets"] for k in (5, 7)] == [1, 1]


def test_without_a_hit_there_is_no_row_of_hits(reference):
    [row] = rows_of([full(0), full(1)], reference, set())
    assert (row["over"], row["hit_rate"], row["speedup_total"]) == ("all", 0, 1)


def test_a_replay_is_neither(reference):
    replay = TargetRecord(1, Ledger("exact", 10, 0.0, seconds=took(0.1)), {})
    with pytest.raises(ValueError, match=r"targets \[1\] were replayed"):
        rows_of([hit(0), replay], reference, {0, 1})


def test_the_best_is_a_way_and_no_lucky_target(reference):
    slow = [hit(number, denoise=3.0) for number in (0, 1)]
    lucky = replace(hit(2), ledger=replace(hit(2).ledger, seconds=took(0.25)))
    fast = hit(3, denoise=1.0, until=8)
    row = figures([*slow, lucky, fast], reference)
    assert row["speedup_best"] == 10 / 2  # the lucky target alone has 8
    assert row["speedup_denoise_best"] == 9 / 1  # the lucky one 36


def test_one_target_has_no_spread(reference):
    assert "spread" not in figures([hit(0)], reference)
    assert figures([hit(0), hit(1)], reference)["spread"] == 0


def test_losses_are_of_the_same_targets():
    reference = {0: full(0), 1: full(1, accuracy=0.0), 2: full(2, detail=0.4)}
    records = [hit(0, accuracy=0.0), hit(1, accuracy=1.0), hit(2, detail=0.2)]
    row = figures(records, reference)
    assert row["accuracy_loss"] == 0 and row["accuracy_loss_error"] > 0
    assert row["detail_loss"] == pytest.approx(0.2 / 2.0)


def test_what_a_target_lacks_is_no_loss():
    ours = [{"accuracy": 1.0}, {"accuracy": 0.0, "accuracy_changed": 0.0}]
    theirs = [{"accuracy": 1.0}, {"accuracy": 1.0, "accuracy_changed": 1.0}]
    found = losses(ours, theirs, REPORTED)
    assert found.keys() == {"accuracy", "accuracy_changed"}
    assert (found["accuracy"].mean, found["accuracy"].error) == (0.5, 0.5)
    assert found["accuracy_changed"].error == np.inf
    assert not losses([], [], REPORTED)


@pytest.fixture(scope="module")
def target():
    request = Request(caption(ASKED), frames=17, height=64, width=64, seed=0)
    prompt = ScenePrompt(request.prompt, (ASKED,))
    return Target(0, prompt, request, 32, "a", 0.9, ("colour", "motion"))


def run(attributes, seed=0, region=None):
    return ArmRun(render(attributes, seed), Ledger("miss", 10, 10.0), region)


def test_all_that_changed_must_be_right(target):
    right = run(ASKED)
    assert scored(target, right, right)["accuracy_changed"] == 1
    scores = scored(target, run(replace(ASKED, motion="up")), right)
    assert scores["accuracy_changed"] == 0 == scores["accuracy"]
    scores = scored(target, run(replace(ASKED, shape="star")), right)
    assert (scores["accuracy_changed"], scores["accuracy"]) == (1, 0)
    assert (scores["changed_colour"], scores["changed_motion"]) == (1, 1)
    assert "accuracy_changed" not in scored(replace(target, changed=()), right, right)


def harmed(target, ours, full):
    found = harm(target, scored(target, ours, full), scored(target, full, full))
    return [found[name] for name in HARM]


def test_harm_is_wrong_where_the_full_run_is_right(target):
    right, star = run(ASKED), run(replace(ASKED, shape="star"))
    assert harmed(target, right, right) == [0, 0]
    assert harmed(target, star, right) == [1, 1]
    assert harmed(target, star, star) == [0, 0]
    assert harmed(target, right, star) == [0, 0]
    # The source's own video has the shape wrong, but not the ground.
    faulty = replace(target, kept={"shape": 0.0, "background": 1.0})
    assert harmed(faulty, star, right) == [1, 0]
    both = run(replace(ASKED, shape="star", background="black"))
    assert harmed(faulty, both, right) == [1, 1]


def test_harm_needs_a_request_for_it(target):
    asked = replace(ASKED, size=None)
    unsized = replace(target, prompt=ScenePrompt(caption(asked), (asked,)))
    large = run(replace(ASKED, size="large"))
    assert scored(unsized, large, run(ASKED))["accuracy"] == 1
    assert harmed(unsized, large, run(ASKED)) == [0, 0]


def test_rows_have_the_share_of_harm_and_its_error(reference):
    records = [hit(0), hit(1)]
    records[1].scores["harmful"] = 1.0
    records[0].scores["harmful"] = 0.0
    made = figures(records, reference)
    assert (made["harmful"], made["harmful_error"]) == (0.5, 0.5)


def test_only_what_the_model_does_well_is_judged(target):
    right = run(ASKED)
    scores = scored(target, run(replace(ASKED, motion="up")), right)
    found = of_reliable(scores, ("colour", "shape", "motion", "background"))
    assert (found["accuracy_reliable"], found["changed_reliable"]) == (0, 0)
    found = of_reliable(scores, ("colour", "shape"))
    assert (found["accuracy_reliable"], found["changed_reliable"]) == (1, 1)
    found = of_reliable(
        scored(target, run(replace(ASKED, shape="star")), right), VALUES
    )
    assert (found["accuracy_reliable"], found["changed_reliable"]) == (0, 1)
    assert "changed_reliable" not in of_reliable(scores, ("shape",))
    assert of_reliable(scores, ()) == scores


def test_the_full_run_is_not_compared_with_itself(target):
    right, region = run(ASKED), np.zeros((5, 8, 8), bool)
    assert not {"psnr", "ssim", "seam"} & scored(target, right, right).keys()
    region[:, :4] = True
    scores = scored(target, run(ASKED, seed=1, region=region), right)
    assert {"psnr", "ssim", "seam"} < scores.keys()
