"""An idle stage costs what its page says, with everything that is paid for by the month."""

from bench.idle import idle_table
from local.environment import REPOSITORY


def test_the_page_says_what_an_idle_stage_costs() -> None:
    """The table of the page is what the template and the list prices give: run `python -m bench idle`."""
    page = (REPOSITORY / "docs" / "deploy.md").read_text()
    for line in idle_table():
        assert line in page
