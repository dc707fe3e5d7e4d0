"""Errors for unknown options: one line that says where options are listed."""

import pytest

from chorus_jax.cli.commands import main


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "chorus: the following arguments are required: COMMAND"),
        (["generat"], "chorus: COMMAND: invalid choice: 'generat' (choose from"),
        (["--vers"], "chorus: unknown: --vers"),
        (["generate", "a", "--step", "4"], "chorus generate: unknown: --step 4"),
        (
            ["generate", "a", "--steps", "four"],
            "timesteps such as 1000,757; got 'four'",
        ),
        (["generate", "a", "--mesh", "1,2"], "such as 1,4,2; got '1,2'"),
        (
            ["calibrate", "a"],
            "chorus calibrate: the following arguments are required: --",
        ),
        (
            ["cache", "a", "--older-than", "5"],
            "a number with s, m, h, d or w, such as 7d",
        ),
        (["cache"], "chorus cache: the following arguments are required: DIR"),
        (["generate", "a", "--cache", ""], "--cache: expected a path, got an empty"),
        (["cache", "a", "--namespace", ""], "--namespace: expected a name, got an"),
        (["convert", "", "x"], "chorus convert: SRC: expected a path, got an empty"),
        (["export", "shapes", ""], "chorus export: DST: expected a path, got an empty"),
        (["generate", "a", "--mesh", "data=0"], "each 1 or more, such as context=4"),
        (["demo", "x"], "chorus demo: unknown: x"),
        (["demo", "--steps", "7"], "invalid choice: 7 (choose from"),
        (["info", "--weigh", "x"], "chorus info: unknown: --weigh x"),
        (["convert"], "chorus convert: the following arguments are required: SRC, DST"),
        (
            ["export", "shapes", "x", "--no"],
            "chorus export: unrecognized arguments: --no",
        ),
    ],
)
def test_a_misunderstood_option_is_one_line(arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    err = capsys.readouterr().err
    assert end.value.code == 2 and message in err
    assert err.count("\n") == 1 and err.endswith(" --help\n")
