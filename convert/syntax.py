"""The code of a file without its comments, docstrings and layout."""

import ast


def code_of(text: str) -> str:
    """Source code rewritten from its syntax tree, without docstrings.

    Texts that differ only in comments, docstrings and layout give the same result, on
    one version of Python.
    """
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            body[:] = [x for x in body if not _is_text(x)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
