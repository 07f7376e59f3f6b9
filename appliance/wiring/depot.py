"""What takes instances that come by another way than the DICOM listener."""

from appliance.core.model import ReceivedInstance
from appliance.core.ports import Role, Wakeup
from appliance.wiring.site import Site
from scp.deposit import Depot


class Announcer:
    """Tells the orchestrator that something is in the spool."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._wakeup = wakeup

    def received(self, *_instances: ReceivedInstance) -> None:
        """Wake it."""
        self._wakeup.wake(Role.ORCHESTRATE)


def depot(site: Site) -> Depot:
    """Return what takes instances that do not come by C-STORE."""
    receiver = site.settings.receiver
    return Depot(
        site.spool,
        Announcer(site.wakeup),
        site.clock,
        largest=receiver.max_message,
        refuse_below=receiver.disk.refuse_below,
        tally=site.tally,
    )
