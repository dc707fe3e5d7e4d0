"""Cleaned prompts against diffusers' WanPipeline."""

import ftfy
import pytest
from diffusers.pipelines.wan.pipeline_wan import prompt_clean

from chorus_jax.text import cleaning
from chorus_jax.text.cleaning import clean

UGLY = [
    "a cat walks",
    "  A cat,\n\twalks &amp;amp; sleeps   ",
    "schÃ¶n ﬁne “quotes” 猫",
    "",
    "&lt;b&gt; &quot;x&quot;",
    "\u3000a\u00a0b ",
    "a\x00b l&#39;été",
]


@pytest.mark.parametrize("prompt", UGLY)
def test_cleaning_equals_diffusers(prompt):
    assert clean(prompt) == prompt_clean(prompt)


@pytest.mark.parametrize("prompt", ["\r\n" * 10**5, "é\n" * 10**5, "&#" * 10**5])
def test_repairs_are_bounded(prompt, monkeypatch):
    """A line of any length costs ftfy the same, so a megabyte of lines costs much."""
    true, seen = ftfy.fix_text, []
    monkeypatch.setattr(ftfy, "fix_text", lambda x: seen.append(x) or true(x))
    assert clean(f"&amp;{prompt}last  word").endswith("last word")
    assert clean(f"&amp;{prompt}").startswith("&")
    assert max(map(len, seen)) <= cleaning.REPAIRED
