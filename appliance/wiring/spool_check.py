"""`appliance check --spool`: every file of the spool against its checksum and its row."""

from collections.abc import Iterator

from appliance.wiring.site import Site
from scp.soundness import Pace, Problem, Progress, SpoolCheck


def check_spool(site: Site, bytes_a_second: int | None) -> Iterator[Problem | Progress]:
    """Yield what is wrong, and how far the check is. Raises StoreError."""
    pace = Pace(site.clock, bytes_a_second)
    return SpoolCheck(site.folders.spool, site.store.overview.checksums, pace).run()
