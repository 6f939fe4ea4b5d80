"""The pages in docs/ are the design: what cites them, and every link between pages, leads to a heading."""

import ast
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
MADE = {"__pycache__", "node_modules", "dist"}
FORMER = f"design {'page'}"
"""What the pages were called before they lay here; spelt so that this file does not say it."""

MARK = re.compile(r"\bSource:(.*?)(?=\.(?:\s|\Z)|\n\s*\n|\Z)", re.DOTALL)
PAGE = re.compile(r"[\w./-]*\.md(?:#[\w-]*)?")
LINK = re.compile(r"\]\(([^()\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)?$", re.MULTILINE)
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
ELSEWHERE = re.compile(r"^[a-z]+:")
WITHOUT_HEADING = "docs/decisions/"
"""A decision is cited as a whole."""


def own_files() -> Iterator[Path]:
    """Yield the tree's files, but for what set-up, builds and tools made."""
    for folder, folders, names in TREE.walk():
        folders[:] = [name for name in folders if not name.startswith(".") and name not in MADE]
        yield from (folder / name for name in names)


def named(path: Path) -> str:
    """Return a file's place in the tree."""
    return path.relative_to(TREE).as_posix()


OWN = sorted(own_files())
CODE = {named(path): path for path in OWN if path.suffix == ".py" and "fixtures" not in path.parts}
PAGES = {named(path): path for path in OWN if path.suffix == ".md"}
CITING = [name for name, path in CODE.items() if "Source:" in path.read_text(encoding="utf-8")]


def cited(path: Path) -> list[str]:
    """Return what stands behind each `Source:` of docstrings and comments, up to the sentence's end."""
    return [statement for text in [*docstrings(path), *comments(path)] for statement in MARK.findall(text)]


def docstrings(path: Path) -> list[str]:
    """Return every string that stands by itself: of modules, classes, functions and attributes."""
    return [
        node.value.value
        for node in ast.walk(ast.parse(path.read_bytes()))
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


def comments(path: Path) -> list[str]:
    """Return every comment, those of successive lines as one."""
    runs: list[str] = []
    last = -1
    with path.open("rb") as source:
        for token in tokenize.tokenize(source.readline):
            if token.type == tokenize.COMMENT:
                text = token.string.lstrip("# ")
                if token.start[0] == last + 1:
                    runs[-1] += f"\n{text}"
                else:
                    runs.append(text)
                last = token.start[0]
    return runs


def anchors(markdown: str) -> set[str]:
    """Return the anchors that GitHub gives a page's headings.

    Source: https://github.com/gjtorikian/html-pipeline, ``TableOfContentsFilter``: lower case, without
    punctuation, a hyphen for each blank, and a number behind what was there before.
    """
    found: set[str] = set()
    before: Counter[str] = Counter()
    for title in HEADING.findall(FENCE.sub("", markdown)):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).lower()
        slug = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        found.add(f"{slug}-{before[slug]}" if before[slug] else slug)
        before[slug] += 1
    return found


@cache
def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a stored page."""
    return anchors(page.read_text(encoding="utf-8"))


def trouble_of(target: str, folder: Path) -> str | None:
    """Tell why a link from a page in the folder leads nowhere; None when it leads somewhere."""
    place, _, heading = target.partition("#")
    path = (folder / place).resolve()
    if not path.is_relative_to(TREE) or not path.exists():
        return f"{target}: no such page"
    if "#" in target and (path.suffix != ".md" or heading not in anchors_of(path)):
        return f"{target}: no such heading"
    return None


def citation_troubles(statement: str) -> list[str]:
    """Tell what is wrong with what stands behind a `Source:`.

    Pages of ours are named from the root, with a heading. Whatever else it says is taken for a document that
    is not ours: an RFC, a vendor's documentation, an address.
    """
    if not statement.strip(" \n#."):
        return ["it names nothing"]
    troubles = []
    for page in PAGE.findall(re.sub(r"https?://\S+", "", statement)):
        if not page.startswith("docs/"):
            troubles.append(f"{page}: a page is named from the root")
        elif "#" not in page and not page.startswith(WITHOUT_HEADING):
            troubles.append(f"{page}: without a heading")
        elif found := trouble_of(page, TREE):
            troubles.append(found)
    return troubles


def link_troubles(markdown: str, page: Path) -> list[str]:
    """Name the links of a page that lead nowhere; a bare ``#heading`` is one of the page itself."""
    targets = [target for target in LINK.findall(FENCE.sub("", markdown)) if not ELSEWHERE.match(target)]
    own = anchors(markdown)
    return [
        trouble
        for target in targets
        if (
            trouble := (None if target[1:] in own else f"{target}: no such heading")
            if target.startswith("#")
            else trouble_of(target, page.parent)
        )
    ]


def says_former(text: str) -> bool:
    """Tell whether a text speaks of the pages by their former name, wrapped lines included."""
    return FORMER in " ".join(text.replace("#", " ").split())


@pytest.mark.parametrize("name", CITING)
def test_a_source_leads_to_a_heading(name: str) -> None:
    """Every `Source:` of the code that is a page of ours leads to a heading of it."""
    assert [] == [trouble for statement in cited(CODE[name]) for trouble in citation_troubles(statement)]


def test_a_page_that_the_code_names_is_there() -> None:
    """A page of docs/ that is named elsewhere in the code, with or without a heading, is there."""
    troubles = {
        (name, found)
        for name, path in CODE.items()
        if path != Path(__file__).resolve()
        for page in re.findall(r"\bdocs/[\w/-]+\.md(?:#[\w-]+)?", path.read_text(encoding="utf-8"))
        if (found := trouble_of(page, TREE))
    }
    assert set() == troubles


@pytest.mark.parametrize("name", PAGES)
def test_a_page_s_links_lead_somewhere(name: str) -> None:
    """Every relative link of a page leads to a file, and to a heading where it names one."""
    page = PAGES[name]
    assert [] == link_troubles(page.read_text(encoding="utf-8"), page)


def test_nothing_speaks_of_pages_elsewhere() -> None:
    """The former pages are history: nothing in the tree cites them."""
    speaking = []
    for path in OWN:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if says_former(text):
            speaking.append(named(path))
    assert [] == speaking


def test_sources_are_found(tmp_path: Path) -> None:
    """A source is found in docstrings of every kind and in wrapped comments, up to its sentence's end."""
    module = tmp_path / "module.py"
    module.write_text(
        '"""Text. Source:\ndocs/a.md#b and\ndocs/c.md#d. More, see docs/e.md."""\n'
        "# Why so. Source:\n# docs/f.md#g\n"
        "def make() -> Source:\n    return None\n"
        'LIMIT = 1\n"""A limit. Source: RFC 9110."""\n'
    )
    found = [" ".join(statement.split()) for statement in cited(module)]
    assert ["docs/a.md#b and docs/c.md#d", "RFC 9110", "docs/f.md#g"] == found


@pytest.mark.parametrize(
    "statement",
    [
        "",
        " .",
        "docs/storage.md#no-such-heading.",
        "docs/no-such-page.md#tables.",
        "docs/storage.md, on tables",
        "storage.md#tables",
        "../docs/storage.md#tables",
        "docs/storage.md#tables and\ndocs/billing.md#no-such-heading, step 5",
        "docs/decisions/0000-none.md",
    ],
)
def test_a_wrong_source_is_found(statement: str) -> None:
    """A source that leads nowhere is named, also the second of two."""
    assert citation_troubles(statement)


@pytest.mark.parametrize(
    "statement",
    [
        " docs/storage.md#tables.",
        "\ndocs/storage.md#recomputing-an-hour, step 5, and docs/billing.md#late-usage",
        "docs/decisions/0001-a-report-is-a-state.md",
        "RFC 9110, section 10.2.3",
        'OASIS, "MQTT Version 3.1.1", sections 2.2 and 3.1',
        "https://example.com/page.md#heading",
    ],
)
def test_a_right_source_is_let_pass(statement: str) -> None:
    """Pages of ours with a heading, decisions, and documents of others are sources."""
    assert [] == citation_troubles(statement)


@pytest.mark.parametrize(
    "markdown",
    [
        "[a](no-such-page.md)",
        "[a](storage.md#no-such-heading)",
        "[a](#no-such-heading)\n\n## Another",
        "[a](examples/compose.yaml#anything)",
        "[a](../../outside.md)",
        "# In a fence\n\n```\n## Not a heading\n```\n\n[a](#not-a-heading)",
    ],
)
def test_a_broken_link_is_found(markdown: str) -> None:
    """A link to a page, a heading or a file that is not there is named."""
    assert link_troubles(markdown, TREE / "docs" / "page.md")


def test_anchors_are_github_s() -> None:
    """Anchors lose punctuation, keep hyphens, and are numbered where a heading comes twice."""
    markdown = (
        "# A period's closing\n\n## `ops add`, `attach`\n\n## Twice\n\n## Twice\n\n## [A link](x.md) here"
    )
    assert {"a-periods-closing", "ops-add-attach", "twice", "twice-1", "a-link-here"} == anchors(markdown)


@pytest.mark.parametrize("text", ["the {} says", "{}s say", "# the {0}\n# of the {0}"])
def test_the_former_name_is_found(text: str) -> None:
    """The former name is found in the plural too, and where a comment is wrapped within it."""
    assert says_former(text.format(FORMER))
    assert says_former(text.format(FORMER.replace(" ", "\n# ")))
    assert not says_former(text.format("page"))
