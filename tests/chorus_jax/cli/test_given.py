"""The fields of a request among a command's options."""

from argparse import Namespace

import pytest

from chorus_jax.cli.given import given


def test_what_is_not_given_is_left_to_the_weights():
    options = Namespace(steps=4, width=None, prompt=["a"], seed=(1,), weights="shapes")
    assert given(options) == {"steps": 4}


def test_a_last_image_needs_a_first():
    with pytest.raises(ValueError, match="give the first one too"):
        given(Namespace(image=None, last_image="last.png"))
