"""In the child: the next run is prepared while this one is inferred."""

import contextlib
import queue
import threading

from appliance.core.errors import ApplianceError
from appliance.core.processes import give_way
from pipelines.base import Prepares
from pipelines.wire import Channel, Message, Prepare


class Inbox(threading.Thread):
    """Reads the channel all the time, so that what is to be prepared need not wait its turn."""

    def __init__(self, channel: Channel, pipeline: Prepares) -> None:
        super().__init__(name="inbox", daemon=True)
        self._channel = channel
        self._pipeline = pipeline
        self._others: queue.SimpleQueue[Message | ApplianceError | None] = queue.SimpleQueue()
        self._preparing: _Preparing | None = None

    def run(self) -> None:
        """Read to the end of the stream."""
        try:
            while (message := self._channel.receive()) is not None:
                if isinstance(message, Prepare):
                    self._preparing = _Preparing(self._pipeline, message)
                    self._preparing.start()
                else:
                    self._others.put(message)
        except ApplianceError as error:
            self._others.put(error)
        self._others.put(None)

    def receive(self) -> Message | None:
        """Return the next message that is no Prepare, None at the end. Raises BrokenChannel."""
        found = self._others.get()
        if isinstance(found, ApplianceError):
            raise found
        return found

    def prepared(self, run_uid: str) -> object:
        """Return what was prepared of this run, once it is; None if there is nothing of it."""
        preparing, self._preparing = self._preparing, None
        if preparing is None or preparing.run_uid != run_uid:
            return None
        preparing.join()
        return preparing.made


class _Preparing(threading.Thread):
    def __init__(self, pipeline: Prepares, wanted: Prepare) -> None:
        super().__init__(name="prepare", daemon=True)
        self.run_uid = wanted.run_uid
        self.made: object = None
        self._pipeline = pipeline
        self._volumes = wanted.volumes

    def run(self) -> None:
        with contextlib.suppress(OSError):
            give_way()
        # Whatever it is, `infer` meets it again, in its own run, and tells of it there.
        with contextlib.suppress(Exception):
            self.made = self._pipeline.prepare(self._volumes)
