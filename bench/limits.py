"""How near the aggregate function comes to its limits: time and memory of the heaviest customers.

Every case runs in a process of its own, on AWS's DynamoDB Local, with the deployed code; alerts go to moto.
Beside each case runs its floor in the same process: the same calls of DynamoDB with nothing made of the
answers. The ratio to the floor says what our code adds, whatever the machine; docs/limits.md explains the
figures. Run it with ``python -m bench.limits``.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.heavy import INSTANCES, JOURNALS, LATE_HOURS, NOW, Heavy

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.heavy import Work

FIGURES = Path(__file__).parent / "figures" / "limits.json"
TIMEOUT_SECONDS = 60
MEMORY_MB = 512
VCPU_MB = 1769
"""The memory at which Lambda gives one whole vCPU; less memory gets that share of one."""
REPEATS = 3

SURROUNDINGS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
    "POWERTOOLS_METRICS_NAMESPACE": "ZemfyreBilling",
    "POWERTOOLS_SERVICE_NAME": "bench",
}
"""Of a measured process; moto answers for AWS but for DynamoDB, which is on this machine."""

CASES: dict[str, Callable[[Heavy], Work]] = {
    f"recompute an hour of {INSTANCES:,} instances": Heavy.wide_hour,
    f"recompute ten of {LATE_HOURS} late hours": Heavy.late_hours,
    f"roll up an hour of {JOURNALS:,} journals of one instance": Heavy.many_journals,
    f"evaluate alerts over a period of {LATE_HOURS} hours": Heavy.evaluation,
    f"sweep {INSTANCES:,} instances that report": Heavy.sweep_reporting,
    f"sweep {INSTANCES:,} instances that fell silent at once": Heavy.sweep_silent,
}


@dataclass(frozen=True)
class Figures:
    """One case: wall and processor seconds, the floor's, and the process's greatest memory."""

    case: str
    seconds: float
    cpu_seconds: float
    floor_seconds: float
    ratio_to_floor: float
    seconds_at_512_mb: float
    memory_mb: int
    share_of_timeout: float
    share_of_memory: float
    read_units: float
    write_units: float


def measure(case: str) -> Figures:
    """Run a case and its floor in turns in this process; the best of each counts."""
    heavy = Heavy.connect(os.environ["BENCH_ENDPOINT"])
    runs, floors = [], []
    for _ in range(REPEATS):
        work = CASES[case](heavy)
        floors.append(timed(work.floor))
        work.prepare()
        heavy.units.clear()
        runs.append(timed(work.run))
    wall, cpu = min(runs)
    # The processor's part takes longer on a share of a vCPU; waiting for DynamoDB does not.
    at_limit = wall + cpu * (VCPU_MB / MEMORY_MB - 1)
    return Figures(
        case=case,
        seconds=round(wall, 3),
        cpu_seconds=round(cpu, 3),
        floor_seconds=round(min(floors)[0], 3),
        ratio_to_floor=round(wall / min(floors)[0], 2),
        seconds_at_512_mb=round(at_limit, 2),
        memory_mb=(memory := greatest_memory_mb()),
        share_of_timeout=round(at_limit / TIMEOUT_SECONDS, 4),
        share_of_memory=round(memory / MEMORY_MB, 3),
        read_units=heavy.units["read"],
        write_units=heavy.units["write"],
    )


def greatest_memory_mb() -> int:
    """Return the greatest memory of this process; not ``ru_maxrss``, which starts with the parent's."""
    status = Path("/proc/self/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) // 1024


def timed(run: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and processor seconds of a run."""
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def measure_all() -> list[dict[str, Any]]:
    """Start DynamoDB Local, fill it, and measure every case in a fresh process."""
    # A measured process must not carry these.
    from local.environment import scrubbed  # noqa: PLC0415
    from local.services.dynamodb import DynamoDbLocal  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder, DynamoDbLocal(Path(folder)) as started:
        Heavy.connect(started.url).fill()
        rows = []
        for case in CASES:
            ran = subprocess.run(  # noqa: S603  this same module
                [sys.executable, "-m", "bench.limits", "--case", case],
                env=scrubbed(SURROUNDINGS | {"BENCH_ENDPOINT": started.url}),
                check=True,
                stdout=subprocess.PIPE,
                text=True,
            )
            rows.append(json.loads(ran.stdout.splitlines()[-1]))
            sys.stderr.write(f"{case}: {rows[-1]['seconds']} s, {rows[-1]['memory_mb']} MB\n")
    return rows


def main() -> None:
    """Measure all cases into bench/figures/limits.json, or one case to the standard output."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=[*CASES], help="measure this case alone, at $BENCH_ENDPOINT")
    case = parser.parse_args().case
    if case:
        sys.stdout.write(f"{json.dumps(asdict(measure(case)))}\n")
        return
    figures = {"at": NOW.isoformat(), "cores": os.cpu_count(), "cases": measure_all()}
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(f"{json.dumps(figures, indent=2)}\n")


if __name__ == "__main__":
    main()
