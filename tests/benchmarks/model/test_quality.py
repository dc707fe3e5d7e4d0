"""The quality benchmark on stand-ins with known videos."""

import json
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks.lib import panels, plot, rows
from benchmarks.lib.judged import Model, filled, judge, sampling_row
from benchmarks.lib.pages import drawn
from benchmarks.model import quality
from benchmarks.model.quality import QualityBench
from benchmarks.model.tables import with_detail_of_vae
from chorus_jax.training.world.attributes import VALUES, held_out_combinations
from chorus_jax.training.world.examples import prompts
from chorus_jax.training.world.render import render
from chorus_jax.training.world.scene import World
from configs import shapes, shapes_4step

FIELDS = {"row", "steps", "prompts", "accuracy", "render_db", "detail", "seconds"}
SOURCE = {"dtype", "weights"}
FIELDS |= SOURCE | {f"accuracy_{name}" for name in VALUES}


class Renderer:
    """Stands in for a pipeline: renders what a caption asks for, or something else."""

    def __init__(self, *pools, change=lambda asked: asked):
        self.attributes = {
            prompt.caption: change(prompt.attributes[0])
            for pool in pools
            for prompt in pool
        }
        self.calls = []

    def __call__(self, *requests):
        self.calls.append(requests)
        world = World(requests[0].height, requests[0].width, requests[0].frames)
        return [
            SimpleNamespace(
                frames=render(self.attributes[request.prompt], request.seed, world)
            )
            for request in requests
        ]


def model(pipeline, **changed):
    weights = {"transformer": "a", "text_encoder": "b", "vae": "c"}
    return Model(pipeline, shapes.get_config(), weights | changed, "float32")


@pytest.fixture
def asked():
    return prompts(held_out_combinations(), 10, seed=0)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    monkeypatch.setattr(rows, "commit", lambda: "abc")
    spec = ModuleSpec("benchmarks.model.quality", None)
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    return tmp_path


def test_videos_of_the_prompts_are_right(asked):
    row = sampling_row("held_out", model(Renderer(asked)), asked, size=4)
    assert row.keys() >= FIELDS
    assert {row[f"accuracy_{name}"] for name in VALUES} | {row["accuracy"]} == {1.0}
    assert (row["steps"], row["prompts"], row["batch"]) == (50, 10, 4)
    assert row["detail"] == pytest.approx(1, abs=0.1)
    assert row["render_db"] > 40 and row["smoothness"] > 0.9


def test_what_is_wrong_is_counted(asked):
    def paint_some(attributes):
        wrong = attributes in [prompt.attributes[0] for prompt in asked[:3]]
        other = "blue" if attributes.colour == "red" else "red"
        return replace(attributes, colour=other) if wrong else attributes

    pipeline = Renderer(asked, change=paint_some)
    row = sampling_row("held_out", model(pipeline), asked, size=10)
    assert row["accuracy"] == row["accuracy_colour"] == pytest.approx(0.7)
    assert row["accuracy_motion"] == row["accuracy_background"] == 1


def test_unclear_is_wrong_and_unsaid_is_neither(asked):
    frames = np.full((17, 64, 64, 3), 140, np.uint8)
    unsized = replace(asked[0], attributes=(asked[0].attributes[0].unsized(),))
    scores = judge(unsized, frames)
    assert scores["accuracy"] == scores["accuracy_shape"] == 0
    assert "accuracy_size" not in scores


def test_batches_are_of_one_size_and_a_seed_is_a_number(asked):
    pipeline = Renderer(asked)
    sampling_row("held_out", model(pipeline), asked, size=4)
    assert [len(requests) for requests in pipeline.calls] == [4, 4, 4]
    seeds = [request.seed for requests in pipeline.calls for request in requests]
    assert seeds == [*range(10), 0, 1]
    assert list(filled(3, 16)) == [[0, 1, 2]]


@pytest.fixture
def bench():
    pools = [
        prompts(pool(), count, seed=0)
        for pool in quality.SPLITS.values()
        for count in (2, quality.SHEET)
    ]

    def noisy(videos):
        noise = np.random.default_rng(0).normal(0, 0.02, videos.shape)
        return videos / 127.5 - 1 + noise

    return QualityBench(model(Renderer(*pools)), None, noisy, 2, 2, 1)


def test_the_curve_asks_for_the_same_at_every_count(bench):
    found = list(bench.curve())
    assert [row["row"] for row in found] == [f"steps {n}" for n in quality.CURVE]
    assert [row["steps"] for row in found] == list(quality.CURVE)
    calls = [
        [(request.prompt, request.seed) for request in requests]
        for requests in bench.full.pipeline.calls
    ]
    assert calls == calls[:2] * len(quality.CURVE)


def test_the_vae_is_measured_on_rendered_videos(bench):
    [row] = bench.vae()
    assert row.keys() == {"row", "prompts", "psnr", "ssim", "detail"} | SOURCE
    # A spread of 0.02 where white is 1 and black is -1 is 40 dB.
    assert row["psnr"] == pytest.approx(40, abs=0.3)
    assert row["ssim"] < 0.99
    # The noise is new in every frame: it is no detail.
    assert row["detail"] == pytest.approx(1, abs=0.02)


def test_distilled_rows_are_left_out_aloud(bench, capsys):
    assert not list(bench.accuracy4("held_out"))
    assert "transformer_4step" in capsys.readouterr().out
    fast = replace(bench.full, request=shapes_4step.get_config())
    both = replace(bench, distilled=fast)
    found = [row for split in quality.SPLITS for row in both.accuracy4(split)]
    assert [row["row"] for row in found] == ["held_out 4 steps", "seen 4 steps"]
    assert {row["steps"] for row in found} == {4}


@pytest.mark.parametrize("models", [1, 2])
def test_the_sheet_has_a_row_a_prompt_and_five_frames_a_model(bench, results, models):
    distilled = replace(bench.full, request=shapes_4step.get_config())
    bench = replace(bench, distilled=distilled if models == 2 else None)
    assert not list(bench.sheet())
    with Image.open(results / "quality.png") as sheet:
        columns = 5 if models == 1 else 11  # the one between them is white
        assert sheet.size == (68 * columns - 4, 25 + 88 * quality.SHEET - 4)
        pixels = np.asarray(sheet)[25 + 20 : 25 + 84]
    assert (pixels[:, :64] < 250).any()
    if models == 2:
        assert (pixels[:, 5 * 68 - 4 : 6 * 68] == 255).all()
        np.testing.assert_array_equal(pixels[:, :64], pixels[:, 6 * 68 : 6 * 68 + 64])


def test_measuring_a_part_keeps_the_others(results, monkeypatch):
    for name, figure in (("vae", 1), ("held_out", 2), ("vae", 3)):
        rows.update("quality", [{"row": name, "figure": figure}])
    found = [
        json.loads(x) for x in (results / "quality.jsonl").read_text().split("\n")[:-1]
    ]
    assert [(row["row"], row["figure"]) for row in found] == [
        ("held_out", 2),
        ("vae", 3),
    ]
    assert {row["commit"] for row in found} == {"abc"}
    monkeypatch.setattr(rows, "device", lambda: "another")
    rows.update("quality", [{"row": "vae", "figure": 4}])
    assert [row["figure"] for row in rows.load("quality")] == [2, 3, 4]
    rows.save("quality", [{"row": "vae", "figure": 5}])
    assert [row["figure"] for row in rows.load("quality")] == [2, 3, 5]


def test_a_run_writes_what_it_measured(bench, results, monkeypatch, capsys):
    monkeypatch.setattr(quality, "load", lambda options: bench)
    monkeypatch.setattr("sys.argv", ["quality", "--rows", "vae", "held_out", "seen"])
    quality.main()
    found = {row["row"]: row for row in rows.load("quality")}
    assert list(found) == ["vae", "held_out", "seen"]
    assert found["seen"]["command"] == (
        "python -m benchmarks.model.quality --rows vae held_out seen"
    )
    ratio = found["held_out"]["detail"] / found["vae"]["detail"]
    joined = {row["row"]: row for row in with_detail_of_vae([*found.values()])}
    assert joined["held_out"]["detail_of_vae"] == ratio
    assert f"{ratio:.3g}" in capsys.readouterr().out


def test_a_command_names_files_but_no_folders_of_the_machine(results, monkeypatch):
    monkeypatch.setattr("sys.argv", ["quality", "/home/a/prompts.txt", "--rows", "x/y"])
    rows.save("quality", [{"row": "vae"}])
    [row] = rows.load("quality")
    assert row["command"] == "python -m benchmarks.model.quality prompts.txt --rows x/y"


def test_an_interrupted_run_loses_no_row(bench, results, monkeypatch):
    def interrupted(*requests):
        if requests[0].steps == 8:
            raise KeyboardInterrupt
        return bench.full.pipeline(*requests)

    full = replace(bench.full, pipeline=interrupted)
    monkeypatch.setattr(quality, "load", lambda options: replace(bench, full=full))
    monkeypatch.setattr("sys.argv", ["quality", "--rows", "curve"])
    with pytest.raises(KeyboardInterrupt):
        quality.main()
    assert [row["row"] for row in rows.load("quality")] == ["steps 2", "steps 4"]


def test_tables_and_figure_are_drawn_from_the_rows(bench, results, monkeypatch):
    monkeypatch.setattr(plot, "RESULTS", results)
    with pytest.raises(ValueError, match="nothing is measured"):
        drawn("quality")
    for group in ("curve", "vae", "held_out", "seen"):
        rows.update("quality", list(quality.GROUPS[group](bench)))
    lines = drawn("quality").splitlines()
    names = [f"{split}, 50 steps, 2 prompts" for split in ("held out", "seen")]
    assert [line.split(" | ")[0] for line in lines[2:4]] == [f"| {x}" for x in names]
    assert drawn("attributes").startswith(f"| figure | {' | '.join(names)} |")
    assert len(drawn("steps").splitlines()) == 2 + len(quality.CURVE) + 2
    plot.steps()
    with Image.open(results / "steps.png") as figure:
        assert figure.size == (3 * panels.WIDTH, panels.HEIGHT)


def test_a_table_is_of_one_model(bench, results):
    rows.update("quality", list(bench.accuracy("held_out")))
    other = replace(bench, full=model(bench.full.pipeline, vae="d"))
    rows.update("quality", list(other.vae()))
    with pytest.raises(ValueError, match="of the vae d and others are of c"):
        drawn("quality")
