"""The demo: misses, hits and a replay, its table, its files and its picture."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from chorus_jax.cli.commands import main
from chorus_jax.cli.demo import ASKED, Asked, run
from chorus_jax.cli.demo.comparison import Comparison, Shown, label
from chorus_jax.cli.demo.run import compared
from chorus_jax.cli.demo.table import line, summary
from chorus_jax.engine import Ledger
from chorus_jax.engine.pipeline import Pipeline
from chorus_jax.inter_request.match.second_look import SecondLook
from chorus_jax.inter_request.policy.policies import NIRVANA, nirvana
from chorus_jax.inter_request.policy.policy import Policy, Regions, Tier
from chorus_jax.media.video import read_mp4
from chorus_jax.request import Request

STEPS = 4
BASE = Request("", frames=5, height=32, width=64, steps=STEPS, solver="euler")
RED, BLUE = ASKED[0].prompt, ASKED[5].prompt


@pytest.fixture(scope="module")
def pipeline(weights):
    made = Pipeline.load(weights)
    sizes = made.model.sizes
    transformer = replace(sizes.transformer, tile=(1, 2, 2))
    made.model.sizes = replace(sizes, transformer=transformer)
    return made


def eager(request):
    """Hits whatever the score; random weights tell prompts apart badly."""
    regions = Regions(reach=0, limit=1e9)
    return Policy(STEPS, (Tier(0.0, 1, 3, active=0.5),), regions)


def never(request):
    """No hits."""
    return Policy(STEPS, ())


@pytest.fixture(scope="module")
def done(pipeline, tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "new"
    asked = (Asked(RED, 1), Asked(BLUE, 2), Asked(RED, 1))
    return folder, run(pipeline, BASE, eager, folder, 8, asked)


def test_the_first_misses_the_next_hits_and_the_same_again_is_replayed(done):
    _, served = done
    kinds = [each.result.ledger.kind for each in served]
    assert kinds == ["miss", "semantic", "exact"]
    assert served[1].result.ledger.source == served[0].result.entry


def test_every_request_has_its_video_and_the_hit_a_picture(done):
    folder, served = done
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["01.mp4", "02.mp4", "03.mp4", "demo.png"]
    assert read_mp4(folder / "02.mp4").shape == served[1].result.video.frames.shape
    with Image.open(folder / "demo.png") as picture:
        assert picture.height > 4 * 32


def test_without_a_hit_there_is_no_picture_and_it_says_so(pipeline, tmp_path, capsys):
    run(pipeline, BASE, never, tmp_path, 8, (Asked(RED, 1),))
    assert not (tmp_path / "demo.png").exists()
    assert "there is nothing to compare" in capsys.readouterr().out


def test_the_picture_is_of_the_hits_that_reused_most_and_least(done):
    first, hit, again = done[1]

    def computed(equivalents):
        ledger = replace(hit.result.ledger, equivalents=equivalents)
        return replace(hit, result=replace(hit.result, ledger=ledger))

    most, least = computed(1.0), computed(3.5)
    pairs = compared([first, computed(2.0), least, again, most])
    assert pairs == [(first.request, each.request) for each in (most, least)]
    assert len(compared([first, most])) == 1
    assert compared([first, again]) == []


def test_the_ways_have_the_noise_of_the_target(pipeline):
    source, target = (
        replace(BASE, prompt=each, seed=seed) for each, seed in ((RED, 1), (BLUE, 2))
    )
    shown = {each.name: each for each in Comparison(pipeline, eager, source, target)()}
    assert list(shown) == ["source", "full", "NIRVANA", "Chorus"]
    [plain] = pipeline(target)
    np.testing.assert_array_equal(shown["full"].result.video.latents, plain.latents)
    assert shown["Chorus"].ledger.kind == "semantic"
    assert shown["Chorus"].ledger.equivalents < STEPS
    assert shown["full"].ledger.equivalents == STEPS


def test_nirvana_is_shown_at_the_scores_of_our_policy(pipeline):
    source, target = (replace(BASE, prompt=each, seed=1) for each in (RED, BLUE))
    look = SecondLook(weight=0.0)
    strict = Policy(STEPS, (Tier(0.9, 1, 3),), look=look)
    made = Comparison(pipeline, lambda _: strict, source, target)()
    [ledger] = [each.ledger for each in made if each.name == "NIRVANA"]
    own = NIRVANA.for_steps(STEPS).plan(ledger.score)
    assert ledger.reuse_until == nirvana(strict).plan(ledger.score).reuse_until
    assert ledger.reuse_until < own.reuse_until


def test_a_line_tells_what_was_reused(done):
    _, served = done
    first, second, third = (line(i, each) for i, each in enumerate(served, 1))
    assert first.split()[:2] == ["1", "miss"] and RED in first and "%" not in first
    assert "step 1" in second and "3 (50%)" in second and BLUE in second
    assert third.split()[1] == "exact" and " all " in third


def test_the_summary_is_of_each_kind_beside_misses(done):
    lines = summary(done[1])
    assert [each.split()[1] for each in lines] == ["miss", "semantic", "exact"]
    assert "x" not in lines[0].split("miss")[1] and lines[2].endswith("x")


def test_a_label_says_how_much_faster(done):
    result = done[1][1].result
    full = Shown("full", replace(result, ledger=Ledger("miss", 4, 4.0)), 2.0)
    ours = Shown("Chorus", result, 0.5)
    assert label(ours, [full, ours]) == "Chorus: semantic, 0.50 s (4.0x)"
    assert label(full, [full, ours]).endswith("2.00 s")


def test_a_number_of_steps_that_no_shipped_model_has_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["demo", "--steps", "3"])
    assert "invalid choice" in capsys.readouterr().err
