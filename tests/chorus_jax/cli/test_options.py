"""The options: light, with their defaults and units in the help."""

import subprocess
import sys

import pytest

from chorus_jax.cli import generate_options, options
from chorus_jax.cli.commands import main


def test_the_solvers_are_those_there_are():
    from chorus_jax.schedulers import SOLVERS

    assert generate_options.SOLVERS == tuple(SOLVERS)


def test_help_and_version_load_neither_jax_nor_numpy():
    code = (
        "import sys\n"
        "from chorus_jax.__main__ import start\n"
        "for word in ('--help', '--version'):\n"
        "    sys.argv[1:] = [word]\n"
        "    try: start()\n"
        "    except SystemExit: pass\n"
        "print(*sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage: chorus" in done.stdout and "\nchorus_jax 0." in done.stdout
    assert not {"jax", "numpy"} & set(done.stdout.split())


def test_help_tells_defaults_and_units(capsys):
    with pytest.raises(SystemExit):
        main(["generate", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    units = ("--cache-size GIB", "(default: 10)", "pixels", "per second")
    for words in ("(default: video.mp4)", *units):
        assert words in out


@pytest.mark.parametrize(
    "text, seconds",
    [("90s", 90), ("1.5m", 90), ("2h", 7200), ("7d", 604800), ("1w", 604800)],
)
def test_ages(text, seconds):
    assert options.age(text) == seconds


@pytest.mark.parametrize("text", ["7", "d", "7y", "-1d", "infd", "nand", ""])
def test_ages_that_are_none(text, capsys):
    with pytest.raises(SystemExit):
        main(["cache", "c", f"--older-than={text}"])
    assert "such as 7d" in capsys.readouterr().err
