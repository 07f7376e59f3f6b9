"""Keeps one lane for each destination going, so that a dead one never holds up another."""

import logging
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import timedelta

from appliance.core.clock import Clock
from appliance.core.log import Event, log_event
from appliance.delivery.lane import Archive, IdentityOf, Lane
from appliance.delivery.options import CourierOptions
from results_store.store import Store


class Courier:
    """`step` is called in a loop by one thread; each lane runs in a thread of its own."""

    def __init__(
        self,
        options: CourierOptions,
        store: Store,
        archives: Mapping[str, Archive],
        identity_of: IdentityOf,
        clock: Clock,
    ) -> None:
        """`archives` has one entry for each destination of `options`, by name."""
        self._options = options
        self._store = store
        self._clock = clock
        self._lanes = {
            destination.name: Lane(
                destination,
                archives[destination.name],
                options=options,
                store=store,
                identity_of=identity_of,
                clock=clock,
            )
            for destination in options.destinations
        }
        self._threads = ThreadPoolExecutor(max(len(self._lanes), 1), "delivery")
        self._running: dict[str, Future[bool]] = {}

    def step(self) -> timedelta:
        """Let every lane that is free do what is due; return how long there is nothing to do.

        Waits for lanes no longer than the poll: one that hangs is looked at again next time.
        Raises what a lane did not foresee, after the others were served.
        """
        self._expire_leases()
        for name, lane in self._lanes.items():
            if name not in self._running:
                self._running[name] = self._threads.submit(lane.step)
        wait(self._running.values(), timeout=self._options.poll.total_seconds())
        ended = {name: future for name, future in self._running.items() if future.done()}
        for name in ended:
            del self._running[name]
        for future in ended.values():
            error = future.exception()
            if error is not None:
                raise error
        more = bool(self._running) or any(future.result() for future in ended.values())
        return timedelta(0) if more else self._options.poll

    def close(self) -> None:
        """Wait for what is being sent; claim nothing more."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _expire_leases(self) -> None:
        for delivery in self._store.deliveries.expire_leases(self._clock.now()):
            log_event(
                Event.DELIVERY_RETRYING,
                level=logging.WARNING,
                delivery=delivery.delivery_id,
                destination=delivery.destination,
                attempt=delivery.attempt,
                reason=delivery.reason,
            )
