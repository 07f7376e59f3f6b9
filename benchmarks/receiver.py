"""The receiver alone, as a process: `python -m benchmarks.receiver PORT FOLDER`, until SIGTERM."""

import signal
import sys
from pathlib import Path

from appliance.core.clock import SystemClock
from appliance.core.model import ReceivedInstance
from scp.options import ReceiverOptions
from scp.server import Receiver
from scp.spool import Spool


class Nobody:
    """A sink that tells nobody."""

    def received(self, instance: ReceivedInstance) -> None: ...


def main(port: int, folder: Path) -> None:
    options = ReceiverOptions(
        ae_title="APPLIANCE",
        host="127.0.0.1",
        port=port,
        peers=(),
        accept_unknown_peers=True,
        refuse_below_bytes=0,
        warn_below_bytes=0,
    )
    receiver = Receiver(options, Spool(folder), Nobody(), SystemClock())
    signal.signal(signal.SIGTERM, lambda *_: None)
    receiver.start()
    signal.pause()
    receiver.stop()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
