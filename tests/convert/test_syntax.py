"""Only what runs counts as code."""

from convert.syntax import code_of


def test_comments_docstrings_and_layout_do_not_count():
    plain = code_of("def f(x):\n    return x\n")
    assert plain == code_of('def f(x):\n    """Text."""\n\n    return (x)  # why\n')
    assert plain != code_of("def f(x):\n    return -x\n")


def test_a_body_of_a_docstring_alone_is_an_empty_one():
    assert code_of('class A:\n    """Text."""\n') == code_of("class A:\n    pass\n")
