"""A user's own `configs` and `convert.py` are neither run nor in the way."""

import subprocess
import sys

import pytest

LOAD = """
from chorus_jax.cli.config_file import load_config
print(load_config("shapes_4step").transformer, load_config("wan21_1p3b").request.shift)
from chorus_jax.ours import package
print(package("convert").__file__)
from convert.rules import Rule
assert package("convert") is package("convert")
"""


@pytest.fixture
def folder(tmp_path):
    """A working folder in which both lie."""
    trap = "raise SystemExit('this is not chorus_jax')\n"
    (tmp_path / "convert.py").write_text(trap)
    (tmp_path / "configs").mkdir()
    for name in ("__init__", "shapes_4step", "shapes", "wan21_1p3b"):
        (tmp_path / "configs" / f"{name}.py").write_text(trap)
    return tmp_path


def run(folder, *arguments):
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_configs_and_convert_are_those_of_the_package(folder):
    done = run(folder, "-c", LOAD)
    assert done.returncode == 0, done.stderr
    part, file = done.stdout.splitlines()
    assert part == "transformer_4step 8.0" and str(folder) not in file


@pytest.mark.parametrize("name", ["convert", "export"])
def test_the_commands_are_those_of_the_package(folder, name):
    done = run(folder, "-m", "chorus_jax", name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"usage: chorus {name}" in done.stdout and "--verify" in done.stdout
    failed = run(folder, "-m", "chorus_jax", name, "nothing", "out")
    assert failed.returncode == 1 and failed.stderr.startswith("chorus: ")
    assert failed.stderr.count("\n") == 1
