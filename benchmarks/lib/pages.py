"""Fills the pages of results: the tables of every folder, and the index of answers.

    python -m benchmarks.lib.pages

A folder's page is its RESULTS.md. Its title is a question, and the first sentence below
is the answer; benchmarks/RESULTS.md lists both. In the pages and in README.md, a table
is drawn between `<!-- table: NAME -->` and `<!-- end -->`; its name is a key of
`TABLES` in a folder's tables.py. All other text is left unchanged.
"""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from benchmarks.lib.rows import load
from benchmarks.lib.tables import PageTable

HERE = Path(__file__).parents[1]
INDEX, README = HERE / "RESULTS.md", HERE.parent / "README.md"
PAGES = sorted(HERE.glob("*/RESULTS.md"))
TABLE = re.compile(r"<!-- table: (\w+) -->\n.*?<!-- end -->", re.S)
LIST = re.compile(r"<!-- pages -->\n.*?<!-- end -->", re.S)
ANSWER = re.compile(r"# (.+?)\n\n(.+?\.)\s", re.S)


def tables() -> dict[str, PageTable]:
    """The tables of all folders, by name.

    Raises a ValueError if two folders have a table of the same name.
    """
    known: dict[str, PageTable] = {}
    for path in sorted(HERE.glob("*/tables.py")):
        if path.parent.name == "lib":
            continue
        own = import_module(f"benchmarks.{path.parent.name}.tables").TABLES
        if twice := known.keys() & own.keys():
            raise ValueError(f"two folders have tables of these names: {sorted(twice)}")
        known |= own
    return known


def drawn(name: str) -> str:
    """A table as Markdown for each device, with the commands that measured it.

    Raises a ValueError if there are no rows for it.
    """
    table = tables()[name]
    rows = [row for row in load(table.benchmark) if table.shows(row)]
    if not rows:
        raise ValueError(
            f"nothing is measured for the table {name!r}: run `python -m "
            f"{table.script}`, or take its marks out"
        )
    parts = []
    for device in dict.fromkeys(row["device"] for row in rows):
        here = [row for row in rows if row["device"] == device]
        commands = dict.fromkeys(f"`{row['command']}`" for row in here)
        parts.append(f"{table.draw(here)}\n\n{device}; {', '.join(commands)}")
    return "\n\n".join(parts)


def filled(text: str) -> str:
    """A page's text with every marked table drawn anew."""
    return TABLE.sub(
        lambda match: f"<!-- table: {match[1]} -->\n{drawn(match[1])}\n<!-- end -->",
        text,
    )


def indexed(text: str) -> str:
    """The index with a line per page: its question and its answer."""
    lines = "\n".join(answers())
    return LIST.sub(lambda _: f"<!-- pages -->\n{lines}\n<!-- end -->", text)


def answers() -> Iterator[str]:
    """Yields a line of the index for each page.

    Raises a ValueError if a page does not begin with a question and an answer.
    """
    for page in PAGES:
        match = ANSWER.match(page.read_text())
        if match is None or not match[1].endswith("?"):
            raise ValueError(f"{page} begins with no question as title and no answer")
        link = f"{page.parent.name}/{page.name}"
        yield f"- [{match[1]}]({link}) {' '.join(match[2].split())}"


def main() -> None:
    """Writes the pages, the README and the index."""
    for page in (*PAGES, README):
        page.write_text(filled(page.read_text()))
    INDEX.write_text(indexed(INDEX.read_text()))


if __name__ == "__main__":
    main()
