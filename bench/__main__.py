"""``python -m bench year``: runs a benchmark and writes its figures to ``bench/figures/``."""

import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bench.idle import idle_costs, idle_table
from bench.units import measure
from bench.year import Figures, simulate
from metering.core.catalog import builtin_catalog

FIGURES = Path(__file__).parent / "figures"
LEAP_YEAR = 2028

app = typer.Typer(no_args_is_help=True, help="Benchmarks; figures go to bench/figures/.")


@app.callback()
def benchmarks() -> None:
    """Benchmarks; figures go to bench/figures/."""


@app.command()
def year(
    customers: Annotated[int, typer.Option(help="How many customers live the year.")] = 200,
    processes: Annotated[int, typer.Option(help="Over how many processes they are spread.")] = 2,
) -> None:
    """Simulate the leap year 2028, hourly, and check conservation at each month's end."""
    started = time.monotonic()
    total = Figures()
    with ProcessPoolExecutor(processes) as pool:
        for done, figures in enumerate(pool.map(_live, range(customers)), 1):
            total += figures
            sys.stderr.write(f"\r{done} of {customers} customers")
    sys.stderr.write("\n")
    _write(
        "year",
        asdict(total)
        | {"year": LEAP_YEAR, "processes": processes, "seconds": int(time.monotonic() - started)},
    )


@app.command()
def units() -> None:
    """Measure the read and write units of each step on DynamoDB Local."""
    _write("units", [asdict(step) for step in measure()])


@app.command()
def idle() -> None:
    """Compute what an idle stage costs a month, from the template and list prices."""
    _write(
        "idle", [{"what": row.what, "units": row.units, "dollars": str(row.dollars)} for row in idle_costs()]
    )
    sys.stdout.write("\n".join(idle_table()) + "\n")


def _live(number: int) -> Figures:
    span = datetime(LEAP_YEAR, 1, 1, tzinfo=UTC), datetime(LEAP_YEAR + 1, 1, 1, tzinfo=UTC)
    (figures,) = simulate(range(number, number + 1), *span, builtin_catalog())
    return figures


def _write(name: str, figures: object) -> None:
    FIGURES.mkdir(exist_ok=True)
    text = json.dumps(figures, indent=2) + "\n"
    (FIGURES / f"{name}.json").write_text(text)
    sys.stdout.write(text)


if __name__ == "__main__":
    app()
