"""`import chorus_jax`: light, lazy, and its types are checked at the door."""

import inspect
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest

import chorus_jax as cj

ROOT = Path(__file__).parents[2]


def python(code, **options):
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, **options)


def test_the_import_loads_neither_jax_nor_numpy():
    done = python("import sys, chorus_jax; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert not {"jax", "numpy", "flax"} & set(done.stdout.split())


def test_every_name_is_there_and_listed():
    for name in cj.__all__:
        assert getattr(cj, name) is not None and name in dir(cj)
    assert cj.__version__ == version("chorus_jax")
    with pytest.raises(AttributeError, match="no attribute 'Egnine'"):
        cj.Egnine


@pytest.mark.parametrize("name", ["Request", "Engine", "Cache", "Reuse", "Policy"])
def test_public_classes_list_their_fields(name):
    text = inspect.getdoc(getattr(cj, name))
    assert "Attributes:" in text
    for field in getattr(getattr(cj, name), "__dataclass_fields__", ()):
        assert f"\n    {field}: " in text


def test_the_readmes_example_is_short_and_runs(tmp_path):
    readme = (ROOT / "README.md").read_text()
    [code] = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 10
    assert [line for line in lines if "import" in line] == ["import chorus_jax as cj"]
    # What lies in the working folder is neither run nor in the way.
    (tmp_path / "convert.py").write_text("raise SystemExit('not ours')")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "__init__.py").write_text("raise SystemExit('not ours')")
    done = python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.glob("*.mp4")) and "Ledger(" in done.stdout


def test_numpy_integers_and_lists_are_taken():
    request = cj.Request("a", height=np.int64(64), steps=[1, 0.5], shift=np.float32(3))
    assert type(request.height) is int and request.steps == (1.0, 0.5)
    assert type(request.shift) is float
    assert hash(request) == hash(cj.Request("a", height=64, steps=(1.0, 0.5), shift=3))
    policy = cj.Policy(np.int32(4), [])
    assert policy.tiers == () and hash(policy) == hash(cj.Policy(4, ()))
    assert cj.Reuse(region=[[[1]]]).region.dtype == np.float32


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: cj.Request(["a"]), "prompt must be text, got \\['a'\\]"),
        (lambda: cj.Request("a", height="480"), "height must be a whole.*got '480'"),
        (lambda: cj.Request("a", frames=True), "frames must be a whole.*got True"),
        (lambda: cj.Request("a", steps="5"), "steps must be a whole number.*'5'"),
        (
            lambda: cj.Request("a", steps=["x"]),
            "a sigma or timestep must be a number, got",
        ),
        (lambda: cj.Request("a", shift="3"), "shift must be a number, got '3'"),
        (lambda: cj.Request("a", guidance_scale=float("nan")), "guidance_scale.*nan"),
        (lambda: cj.Request("a", solver=3), "solver must be text, got 3"),
        (lambda: cj.Reuse(read=1), "read must be True or False, got 1"),
        (lambda: cj.Reuse(least_score="1"), "least_score must be a number, got '1'"),
        (lambda: cj.Reuse(namespace=3), "namespace must be text of at most 256.*got 3"),
        (lambda: cj.Reuse(region="left"), "region must be an array of numbers"),
        (lambda: cj.Reuse(region=[1]), "axes frames, height and width"),
        (lambda: cj.Policy("4", ()), "steps must be a whole number, got '4'"),
        (lambda: cj.Policy(4, 3), "tiers must be a tuple of tiers, got 3"),
        (lambda: cj.load(3), "expected the path of a checkpoint folder, got 3"),
        (lambda: cj.load("shapes", dtype="int8"), "dtype must be one of bfloat16, fl"),
        (lambda: cj.Cache("x"), "store must be a Store, got 'x'"),
    ],
)
def test_wrong_types_are_refused_in_one_sentence(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


# In a process of its own: the tests' own check of types would come first here.
DOORS = """
import chorus_jax as cj
pipeline, cache = cj.load("shapes"), cj.Cache.in_memory()
engine, request = cj.Engine(pipeline, cache), pipeline.request("a")
for door in (
    lambda: engine.generate([request]),
    lambda: engine.generate("a"),
    lambda: engine.generate(request, "read"),
    lambda: pipeline([request]),
    lambda: pipeline("a"),
    lambda: pipeline.request("a", sede=3),
    lambda: cj.Engine("shapes", cache),
    lambda: cj.Engine(pipeline, "cache"),
    lambda: cj.Engine(pipeline, cache, 3),
    lambda: cj.Cache.in_folder("c", "big"),
    lambda: cj.Cache.in_folder(3, 5),
    lambda: cj.write_video(3, []),
    lambda: cj.write_video("v.mp4", [], "fast"),
    lambda: cj.write_video("v.mp4", []),
):
    try:
        door()
    except ValueError as error:
        print(error)
"""
EXPECTED = """\
expected a Request, got a list of 1: give requests one by one
expected a Request, got 'a'
expected a Reuse, got 'read'
expected a Request, got a list of 1: give requests one by one
expected a Request, got 'a'
the fields of a request are prompt, negative_prompt, frames
pipeline must be a Pipeline, got 'shapes'
cache must be a Cache, got 'cache'
policies must be a Policy, or a function from requests to policies, got 3
disk_bytes must be a whole number
folder must be a path, got 3
expected the path of a video file, got 3
fps must be a number, got 'fast'
expected frames as an array, got a list
"""


def test_doors_say_what_was_expected_and_what_came(tmp_path):
    done = python(DOORS, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for line, expected in zip(
        done.stdout.splitlines(), EXPECTED.splitlines(), strict=True
    ):
        assert line.startswith(expected)
    assert not list(tmp_path.iterdir())
