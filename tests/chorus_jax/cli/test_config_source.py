"""Errors of a user's own config: one line that names file and line."""

import pytest

from chorus_jax.cli.config_file import config_names, load_config

START = "from chorus_jax.request import Request\n"
GOOD = START + "def get_config():\n    return Request('')\n"


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("def get_config(:\n", 1, "invalid syntax"),
        (START + "import nothing_here\n", 2, "ModuleNotFoundError: No module named"),
        (START + "import sys\nsys.exit(3)\n", 3, r"may not end the process.*\(3\)"),
        (
            START + "def get_config():\n    return Request('', hieght=3)\n",
            3,
            "unexpected keyword argument 'hieght'.*fields of a Request are prompt,",
        ),
        (
            START + "def get_config():\n    return Request('', height='480')\n",
            3,
            "height must be a whole number",
        ),
        (START + "def get_config():\n    return 1 / 0\n", 3, "ZeroDivisionError"),
        (START + "\ndef get_config():\n    return 3\n", 3, "returns a Request, got 3"),
        ("def get_confg():\n    return 3\n", 1, "did you mean get_config"),
        (GOOD + "WIEGHTS = 'shapes'\n", 4, "WIEGHTS is not read, did you mean WEIGHTS"),
        (GOOD + "fps = 8\n", 4, "fps is not read, did you mean FPS"),
        (GOOD + "FPS = '8'\n", 4, "FPS is a whole number of frames per second"),
        (GOOD + "WEIGHTS = 3\n", 4, "WEIGHTS is the name of shipped weights, got 3"),
    ],
)
def test_an_error_is_one_line_with_its_place(text, line, message, tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load_config(str(file))
    assert str(error.value).startswith(f"{file}, line {line}: ")
    assert "\n" not in str(error.value)


def test_other_names_are_the_users(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(GOOD + "HEIGHT = SIZE = 3\nOTHER: int = 4\nFPS = 8\n")
    assert load_config(str(file)).fps == 8


def test_bytes_that_are_no_text_are_refused(tmp_path):
    file = tmp_path / "mine.py"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="mine.py"):
        load_config(str(file))


@pytest.mark.parametrize("name", ["wan", "missing.py", ".", "README.md"])
def test_an_unknown_name_lists_the_known_ones(name):
    known = ["causvid_1p3b", "fastwan21_14b_480p", "fastwan21_1p3b"]
    known += ["fastwan22_ti2v_5b", "ltx23_hq", "ltx_13b_098_dev", "ltx_2b_091"]
    known += ["ltx_2b_096_distilled", "ltx_2b_098_distilled", "self_forcing_1p3b"]
    known += ["shapes", "shapes_4step", "wan21_14b", "wan21_14b_4step", "wan21_1p3b"]
    known += ["wan21_flf2v_720p", "wan21_i2v_480p", "wan21_i2v_480p_4step"]
    known += ["wan21_i2v_720p", "wan22_i2v_a14b", "wan22_i2v_a14b_4step"]
    known += ["wan22_t2v_a14b", "wan22_t2v_a14b_4step", "wan22_ti2v_5b"]
    assert config_names() == known
    with pytest.raises(ValueError, match=f"the names are {', '.join(known)}"):
        load_config(name)
