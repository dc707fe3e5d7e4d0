"""Arms in turns, their rows, tables and figures, on stand-ins for engines."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks.lib import panels, plot, rows
from benchmarks.lib.pages import drawn
from benchmarks.reuse import chorus_tables
from benchmarks.reuse import comparison as chorus_comparison
from benchmarks.reuse import running as chorus_running
from benchmarks.reuse import turns as chorus_turns
from benchmarks.reuse.arms import ARMS, LADDER, stage1_at
from benchmarks.reuse.bench import Target
from benchmarks.reuse.chorus import COLUMNS, KEY, parser
from benchmarks.reuse.comparison import ArmComparison, first_alike
from benchmarks.reuse.models import base_policy
from benchmarks.reuse.running import ArmRun, Equal
from benchmarks.reuse.turns import in_turns
from chorus_jax.calibration.tiers import effective
from chorus_jax.engine import Ledger
from chorus_jax.inter_request.policy import policies, policy_file
from chorus_jax.inter_request.policy.policies import NIRVANA, default_policy
from chorus_jax.inter_request.policy.policy import Policy, Tier
from chorus_jax.inter_request.policy.policy_file import Measured
from chorus_jax.request import Request
from chorus_jax.training.world.attributes import Attributes
from chorus_jax.training.world.examples import ScenePrompt

DRAW = chorus_tables.arms("hits", "equivalents", "seam")
ASKED = Attributes("red", "circle", "small", "left", "gray")
FRAMES = np.zeros((17, 64, 64, 3), np.uint8)
SCORES = {"accuracy": 1.0, "accuracy_changed": 0.5, "detail": 0.8, "render_db": 25.0}


def target(number, score=0.95):
    prompt = ScenePrompt(f"prompt {number}", (ASKED,))
    request = Request(prompt.caption, seed=0)
    return Target(number, prompt, request, 32, "a", score, ("colour",))


class StandIn:
    """An arm that makes nothing but a note."""

    def __init__(self, name, notes, policy=None):
        self.name, self.notes, self.policy = name, notes, policy

    def computed(self, target):
        return 2.5

    def program(self, target):
        return self.name, target.number % 2

    def __call__(self, target):
        self.notes.append((self.name, target.number))
        seconds = {"denoise": 4.0, "decode": 1.0}
        if self.policy is None or target.tier(self.policy) is None:
            return ArmRun(FRAMES, Ledger("miss", 4, 4.0, seconds=seconds))
        seconds = {"denoise": 2.0, "decode": 1.0}
        ledger = Ledger("semantic", 4, 2.0, 0.95, "a", 1, 3, 0.5, seconds=seconds)
        return ArmRun(FRAMES, ledger)


@pytest.fixture(autouse=True)
def no_oracle(monkeypatch):
    monkeypatch.setattr(chorus_turns, "scored", lambda *_: SCORES)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(rows, "RESULTS", tmp_path)
    monkeypatch.setattr(rows, "commit", lambda: "abc")
    return tmp_path


@pytest.fixture
def comparison(monkeypatch):
    """One whose arms are stand-ins; the bench is just its targets."""
    notes = []
    make = lambda bench, policy: StandIn("engine", notes, policy)
    monkeypatch.setattr(chorus_comparison, "Reusing", make)
    monkeypatch.setattr(
        chorus_comparison, "Fewer", lambda bench, steps: StandIn("pipeline", notes)
    )
    monkeypatch.setattr(chorus_comparison, "Equal", lambda *_: StandIn("equal", notes))
    told = {"dtype": "float32", "weights": {"vae": "a"}}
    loaded = SimpleNamespace(steps=4, facts=told)
    return ArmComparison(loaded, default_policy(4), "default")


def test_arms_take_turns_and_a_first_use_does_not_count():
    notes = []
    arms = {name: StandIn(name, notes) for name in ("full", "a", "b")}
    found = in_turns([target(n) for n in range(3)], arms, "full", "")
    assert {name: [x.number for x in each] for name, each in found.items()} == (
        dict.fromkeys(arms, [0, 1, 2])
    )
    # Programs of targets 0 and 1 are new, those of target 2 are 0's.
    firsts = ["full", "full", "a", "a", "b", "b"]
    seconds = ["a", "a", "b", "b", "full", "full"]
    assert [name for name, _ in notes] == [*firsts, *seconds, "b", "full", "a"]


def test_there_is_a_row_for_each_arm_over_hits_and_all(comparison):
    bench = SimpleNamespace(targets=[target(0), target(1, score=0.1), target(2)])
    found = [x for x in comparison.arms(bench, ARMS) if " from " not in x["over"]]
    assert [row["row"] for row in found[::3]] == list(ARMS)
    overs = [[row["over"] for row in found[first::3]] for first in range(3)]
    assert [set(each) for each in overs] == [{"hits"}, {"changed"}, {"all"}]
    told = {(row["row"], row["over"]): row for row in found}
    assert told["chorus", "hits"]["targets"] == told["full", "hits"]["targets"] == 2
    assert told["full", "hits"]["hit_rate"] == 0
    assert told["chorus", "all"]["hit_rate"] == pytest.approx(2 / 3)
    assert told["chorus", "hits"]["speedup_denoise"] == 2
    assert told["chorus", "hits"]["policy"]["tiers"]
    assert set(COLUMNS) > set(SCORES)


def test_one_policy_is_measured_once(comparison):
    bench = SimpleNamespace(targets=[target(0)])
    found = {row["row"]: row for row in comparison.arms(bench, ARMS)}
    assert found["output_gain"]["same_as"] == "stage1"
    assert found["chorus_cache"]["same_as"] == "chorus"
    assert "same_as" not in found["chorus"]
    alike = first_alike({"a": default_policy(4), "b": default_policy(4)})
    assert alike == {"a": "a", "b": "a"}


def test_arms_that_compute_alike_are_measured_once(comparison):
    """One step of stage 2, which is never regional, and no gains."""
    idle = Policy(4, (Tier(0.5, 1, 2, active=0.5),))
    bench = SimpleNamespace(targets=[target(0)])
    found = list(replace(comparison, base=idle).arms(bench, ARMS))
    same = {row["row"]: row.get("same_as") for row in found}
    assert same == dict.fromkeys(LADDER, "stage1") | dict.fromkeys(
        ("full", "fewer", "nirvana", "nirvana_equal", "stage1")
    )


def arm(name, steps=4, over="hits", **figures):
    told = {"row": name, "steps": steps, "over": over, "targets": 5, "weights": {}}
    return {**told, "hit_rate": 1.0, **figures}


def cells(table, *columns):
    """These columns of a drawn table, a tuple each line."""
    drawn = [line for line in table.splitlines() if line.startswith("|")]
    lines = [[x.strip() for x in line.split("|")[1:-1]] for line in drawn]
    places = [lines[0].index(name) for name in columns]
    return [tuple(line[place] for place in places) for line in lines[2:]]


def test_what_was_not_run_is_drawn_once():
    ran = arm("stage1", equivalents=2.0)
    idle = [
        {**ran, "row": name, "same_as": "stage1"} for name in ("output_gain", "chorus")
    ]
    own = arm("key_gain", equivalents=3.0)
    skip = {**ran, "row": "chorus_cache", "same_as": "stage1"}
    page = DRAW([skip, *idle, own, ran])
    assert page.endswith("These are means over 5 targets at 4 steps.")
    assert cells(page, "arm", "equivalents") == [
        ("4 steps, stage1", "2"),
        ("4 steps, key_gain", "3"),
    ]
    assert cells(DRAW([skip, *idle]), "arm", "equivalents") == [
        ("4 steps, output_gain (= stage1: output gain 1)", "2")
    ]


def test_the_figures_of_what_is_the_same_are_drawn_where_that_is_not():
    chorus = {**arm("chorus", equivalents=2.0), "same_as": "key_gain"}
    skip = {**chorus, "row": "chorus_cache"}
    assert cells(DRAW([chorus, skip]), "arm", "equivalents") == [
        ("4 steps, chorus (= key_gain: no region step)", "2"),
    ]
    nothing = {**arm("stage1"), "same_as": "full"}
    [only] = cells(DRAW([nothing]), "arm")
    assert only == ("4 steps, stage1 (= full)",)


def test_a_page_shows_some_arms_and_numbers_of_steps():
    shows = chorus_tables.of_arms("chorus", "stage1", steps=(4,))
    assert shows(arm("chorus")) and not shows(arm("chorus", 50))
    assert shows({**arm("chorus"), "same_as": "stage1"}) and not shows(arm("full"))


def test_the_same_at_other_steps_or_over_others_is_drawn_there_too():
    both = [
        {**arm(name, steps, over, equivalents=2.0), "same_as": "stage1"}
        for name in ("stage1", "output_gain")
        for steps in (50, 4)
        for over in ("changed", "reworded")
    ]

    def shown(rows):
        kinds = (chorus_tables.arms(x, "equivalents") for x in ("changed", "reworded"))
        return [cell for draw in kinds for cell in cells(draw(rows), "equivalents")]

    assert shown(both) == [("2",)] * 4
    *most, _ = sorted(both, key=lambda row: (row["row"], -row["steps"]))
    assert shown(most) == [("2",)] * 4


def test_quality_is_of_each_attribute_and_blank_where_it_was_not_measured():
    figures = {"accuracy_colour": 0.75, "changed_shape": 0.5, "psnr": 31.0, "seam": 1.1}
    rows = [arm("full"), arm("chorus", **figures), arm("chorus", over="all")]
    names = ("accuracy_colour", "changed_shape", "psnr", "seam", "ssim", "smoothness")
    assert cells(chorus_tables.arms("hits", *names)(rows), "arm", *names) == [
        ("4 steps, full", *[""] * 6),
        ("4 steps, chorus", "0.75", "0.5", "31", "1.1", "", ""),
    ]


def test_asking_for_one_arm_measures_the_full_run_too(comparison):
    bench = SimpleNamespace(targets=[target(0)])
    found = list(comparison.arms(bench, ["chorus_cache"]))
    assert {row["row"] for row in found} == {"chorus_cache"}


def test_the_curve_is_over_what_shows_something_else(comparison, results, monkeypatch):
    alike = replace(target(2), changed=())
    bench = SimpleNamespace(targets=[target(0), target(1, score=0.1), alike])
    found = list(comparison.curve(bench, 5))
    assert all(row["row"].startswith("curve_") for row in found)
    assert {(row["over"], row["targets"]) for row in found} == {("hits", 2)}
    shown = chorus_tables.gains(found)
    assert cells(shown, "gain", "accuracy_changed, 4 steps") == [
        *(("no reuse", "0.5"), ("none", "0.5")),  # the full run, stage 1 from there
        *(("keys 1.5", "0.5"), ("keys 2", "0.5"), ("keys 3", "0.5")),
        ("output 1.25", "0.5"),
    ]
    assert shown.endswith("Gains from step 2 of 4 on.")
    rows.update("chorus", found, KEY)
    monkeypatch.setattr(plot, "RESULTS", results)
    plot.chorus()
    with Image.open(results / "chorus_4.png") as figure:
        assert figure.size == (2 * panels.WIDTH, panels.HEIGHT)


def test_arms_at_equal_cost_compute_as_many_steps_of_hits_and_all_of_misses(
    comparison, monkeypatch
):
    told = {}
    note = lambda name: lambda *given: told.setdefault(name, given[-1])
    monkeypatch.setattr(chorus_comparison, "Fewer", note("fewer"))
    monkeypatch.setattr(chorus_comparison, "Equal", note("equal"))
    bench = SimpleNamespace(targets=[target(0), target(1, score=0.1), target(2)])
    whole = StandIn("whole", [], comparison.base)
    names = [name for name, _ in comparison.as_costly(bench, whole, ARMS)]
    assert names == ["fewer", "nirvana_equal"]
    assert told["fewer"] == {0: 3, 1: 4, 2: 2}  # 2.5 each, and a miss
    starts = {4 - steps for steps in told["equal"].values()}
    assert starts <= {0, *comparison.stage_ends()} and told["equal"][1] == 4
    assert sum(told["equal"][n] for n in (0, 2)) == 5


def test_equal_leaves_as_many_steps_to_compute_as_it_is_told(monkeypatch):
    make = lambda bench, policy: StandIn("engine", [], policy)
    monkeypatch.setattr(chorus_running, "Reusing", make)
    base, first = default_policy(4), {1: 3, 3: 1, 4: 0}
    equal = Equal(SimpleNamespace(), base, {steps: steps for steps in first})
    for steps, start in first.items():
        policy = equal.arm(target(steps)).policy
        assert policy == stage1_at(base, start) == effective(policy)
        assert [tier.reuse_until for tier in policy.tiers] == [start] * (start > 0)


def test_rows_of_other_steps_stay_and_tables_are_drawn(comparison, results):
    bench = SimpleNamespace(targets=[target(0), target(1, score=0.1)])
    with pytest.raises(ValueError, match="nothing is measured"):
        drawn("changed")
    for steps in (50, 4, 4):
        changed = SimpleNamespace(steps=steps, facts=comparison.loaded.facts)
        found = replace(comparison, loaded=changed).arms(bench, ARMS)
        found = [row for row in found if " from " not in row["over"]]
        rows.update("chorus", found, KEY)
    assert len(rows.load("chorus")) == 2 * 3 * len(ARMS)
    main = ["full", "chorus"]  # no step is skipped
    hits = [name for (name,) in cells(drawn("hits"), "hits")]
    assert hits == [f"changed, 50 steps, {name}" for name in main]
    every = [
        "full",
        "fewer",
        "nirvana",
        "nirvana_equal",
        "stage1",
        "key_gain",
        "chorus",
    ]
    arms = [name for (name,) in cells(drawn("changed"), "arm")]
    assert arms == [f"{steps} steps, {name}" for steps in (50, 4) for name in every]
    assert "means over 1 targets at 50 steps, 1 targets at 4" in drawn("changed")
    assert "No row over reworded was measured." in drawn("reworded")


def test_the_base_is_given_or_measured_or_the_default(tmp_path, monkeypatch):
    monkeypatch.setattr(policies, "__file__", str(tmp_path / "policies.py"))
    pipeline = SimpleNamespace(fingerprints={"vae": "a"})
    loaded = SimpleNamespace(name="shapes", steps=4, pipeline=pipeline)
    assert base_policy(None, loaded) == (default_policy(4), "default")
    file = tmp_path / "mine.json"
    policy_file.write(file, Measured(default_policy(50)))
    assert base_policy(file, loaded) == (default_policy(4), str(file))
    (tmp_path / "calibrated").mkdir()
    measured = tmp_path / "calibrated" / "shapes_4.json"
    found = Measured(NIRVANA.for_steps(4), loaded.pipeline.fingerprints)
    policy_file.write(measured, found)
    assert base_policy(None, loaded) == (NIRVANA.for_steps(4), "calibrated shapes 4")


def test_no_rows_may_be_asked_for():
    assert parser().parse_args(["--rows", "--curve"]).rows == []
    assert parser().parse_args([]).rows == list(ARMS)
