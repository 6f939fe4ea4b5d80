"""An agent's own traffic is taken off the totals of those it watches here, and nowhere else.

Pure. Some totals count those who watch them. A collector knows what its watching has caused, but not what
watchers of earlier runs had; the journal remembers those. Source: docs/agent-design.md#collectors.
"""

from collections.abc import Mapping

from agent.engine.observation import Observation, Series

_NOTHING: Mapping[Series, int] = {}


def without_own(
    observation: Observation,
    former: Mapping[Series, int] = _NOTHING,
    known: Mapping[Series, int] = _NOTHING,
) -> dict[Series, int]:
    """The totals of one observation, without what watching has caused in them.

    Where that would fall since this run's last look (what was caused is not in the total yet), the last one
    stays until the total has caught up; it never falls below 0. A total that counts no watcher may fall.

    Parameters
    ----------
    observation
        Totals as the source tells them, and what they hold of this run's watching (`Observation.held`).
    former
        What watchers of earlier runs caused in the source's present life.
    known
        What this function returned of this run's observations before, in the same life.
    """
    others = {}
    for series, total in observation.counters.items():
        counts_watchers = series in observation.held
        lowest = known.get(series, 0) if counts_watchers else 0
        others[series] = max(lowest, total - observation.held.get(series, 0) - former.get(series, 0))
    return others
