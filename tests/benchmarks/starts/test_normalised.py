"""Normal forms of prompts, as a cache of equal texts would compare them."""

import pytest

from benchmarks.starts import normalised

RED = "a red circle moves left on a gray background"


@pytest.mark.parametrize(
    "other, forms",
    [
        (RED, ["text", "words", "content", "thesaurus"]),
        ("A red  circle moves left, on a gray background.", normalised.FORMS),
        ("on a gray background a red circle moves left", ["content", "thesaurus"]),
        ("a grey backdrop where a scarlet disc goes to the left", ["thesaurus"]),
        ("a blue circle moves left on a gray background", []),
    ],
)
def test_forms_that_take_two_prompts_for_one(other, forms):
    equal = [
        name for name, form in normalised.FORMS.items() if form(other) == form(RED)
    ]
    assert set(equal) == set(forms) - ({"text"} if other != RED else set())


def test_a_complete_thesaurus_knows_rewordings_and_tells_changes():
    rows = {(x["row"], x["over"]): x for x in normalised.measured(50, 50)}
    assert rows["thesaurus", "reworded"]["equal"] == 1
    assert rows["thesaurus", "changed"]["equal"] == 0
    assert rows["words", "reworded"]["equal"] < 1
