"""The children that stay warm: found again, ended where others need their memory."""

import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.core.log import Event, log_event
from appliance.jobs.memory import Held, to_end, to_end_on_gpu
from appliance.jobs.process import ChildProcess
from pipelines.sandbox.enclosure import NOT_ISOLATED, Isolation


@dataclass(slots=True, kw_only=True)
class Warm:
    """One child. What it told of itself when it was loaded, and of its memory since."""

    key: str
    child: ChildProcess
    pipeline: str
    digest: str  # of its folder
    memory: int  # bytes that its first run is expected to take
    isolation: Isolation = NOT_ISOLATED
    device: str = ""  # as it really is; "" before it is loaded
    gpu_memory: int = 0  # bytes that it holds there
    prepares: bool = False  # whether it can prepare a run while it infers another


class WarmChildren:
    """Children by key, the least recently used first; at most so many, in so much memory."""

    def __init__(self, *, most: int, budget: int) -> None:
        self._most = most
        self._budget = budget
        self._by_key: OrderedDict[str, Warm] = OrderedDict()

    def find(self, key: str, digest: str) -> Warm | None:
        """Return the child that is loaded from this very folder and alive, now the latest used."""
        warm = self._by_key.get(key)
        if warm is None or warm.digest != digest or not warm.device or not warm.child.is_alive():
            return None
        self._by_key.move_to_end(key)
        return warm

    def that_prepares(self, key: str, digest: str) -> ChildProcess | None:
        """Return the child of this key and folder, if it can prepare a run. From any thread."""
        warm = self._by_key.get(key)
        return warm.child if warm and warm.prepares and warm.digest == digest else None

    def add(self, warm: Warm) -> None:
        """Keep `warm` under its key, which is free."""
        self._by_key[warm.key] = warm

    def make_room(self, key: str, needed: int) -> None:
        """End as many others as it takes for a run of `key` to have `needed` bytes of memory."""
        for name in to_end(self._others(key), needed, self._budget, self._most):
            self.end(name, "least recently used", gently=True)

    def free_gpu(self, key: str, lacking: int) -> None:
        """End as many others as it takes to free so much of a GPU; 0: all that use one."""
        for name in to_end_on_gpu(self._others(key), lacking):
            self.end(name, "another needs the GPU", gently=True)

    def _others(self, key: str) -> Sequence[Held]:
        return [
            Held(name=name, memory=warm.child.usage().resident, gpu_memory=warm.gpu_memory)
            for name, warm in self._by_key.items()
            if name != key
        ]

    def end(self, key: str, reason: str, *, gently: bool = False) -> tuple[str, str]:
        """End the child, if there is one; return how it ended and its last words."""
        warm = self._by_key.pop(key, None)
        if warm is None:
            return "", ""
        how = warm.child.end(gently=gently)
        log_event(
            Event.CHILD_ENDED,
            level=logging.INFO,
            pipeline=warm.pipeline,
            device=warm.device,
            reason=f"{reason}: it {how}",
        )
        return how, warm.child.last_words

    def close(self) -> None:
        """End all."""
        for key in tuple(self._by_key):
            self.end(key, "executor closed", gently=True)
