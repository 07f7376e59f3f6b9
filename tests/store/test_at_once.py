"""Many at once: threads of one process, and processes."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import TypeVar

from appliance.core.backoff import Backoff
from appliance.core.errors import IllegalTransition, StaleClaim
from appliance.core.states import DeliveryState, JobState
from results_store.options import StoreOptions
from results_store.store import Store, open_store
from tests.store import world
from tests.store.world import LEASE, START, STUDY, SteppedClock

THREADS = 8
T = TypeVar("T")


def at_once(act: Callable[[int], T], threads: int = THREADS) -> list[T]:
    """Return what `act` returned in each of `threads` threads that began together."""
    barrier = Barrier(threads)

    def begin(number: int) -> T:
        barrier.wait(30)
        return act(number)

    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(begin, range(threads)))


def take_all_jobs(store: Store, worker: str) -> list[int]:
    taken = []
    while job := store.jobs.claim(worker, ("brain-mr",), LEASE, START):
        taken.append(job.job_id)
    return taken


def take_all_in_a_process(options: StoreOptions, worker: str, file: Path) -> None:
    store = open_store(options, SteppedClock())
    file.write_text(" ".join(map(str, take_all_jobs(store, worker))))
    store.close()


def test_threads_never_claim_one_job_twice(store: Store) -> None:
    jobs = {world.submit(store, f"1.2.{number}").job_id for number in range(24)}
    taken = at_once(lambda number: take_all_jobs(store, f"w{number}"))
    flat = [job_id for ids in taken for job_id in ids]
    assert sorted(flat) == sorted(jobs)
    owners = {job.job_id: job.worker for job in store.jobs.list(JobState.RUNNING)}
    for number, ids in enumerate(taken):
        assert {owners[job_id] for job_id in ids} <= {f"w{number}"}


def test_processes_never_claim_one_job_twice(
    options: StoreOptions, store: Store, tmp_path: Path
) -> None:
    jobs = {world.submit(store, f"1.2.{number}").job_id for number in range(24)}
    context = multiprocessing.get_context("spawn")
    files = [tmp_path / f"taken-{number}" for number in range(3)]
    workers = [
        context.Process(target=take_all_in_a_process, args=(options, file.name, file))
        for file in files
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    flat = [int(job_id) for file in files for job_id in file.read_text().split()]
    assert sorted(flat) == sorted(jobs)


def test_threads_never_claim_one_delivery_twice(store: Store) -> None:
    for number in range(6):
        world.submit(store, f"1.2.{number}")
        world.finish(store)
    waiting = {item.delivery_id for item in store.deliveries.list(DeliveryState.PENDING)}

    def take_all(number: int) -> list[int]:
        taken = []
        while item := store.deliveries.claim(f"c{number}", LEASE, START):
            taken.append(item.delivery_id)
        return taken

    flat = [number for ids in at_once(take_all) for number in ids]
    assert sorted(flat) == sorted(waiting)


def test_a_route_is_closed_once_however_many_close_it(store: Store) -> None:
    world.submit(store, "1.2.9")

    def close(_number: int) -> int:
        runs = (world.new_run(), world.new_run(pipeline="other"))
        return len(store.commands.submit_runs(STUDY, world.decision(), "quiet", runs, START))

    assert sorted(at_once(close)) == [0] * (THREADS - 1) + [2]
    assert len(store.jobs.of_study(STUDY)) == 2


def test_images_indexed_at_once_are_all_counted(store: Store) -> None:
    def index(number: int) -> None:
        for image in range(number * 4, number * 4 + 6):  # two of six overlap with the next thread
            store.studies.index(world.received(image), world.facts())

    at_once(index)
    study = store.studies.get(STUDY)
    assert study is not None
    assert study.instance_count == len(store.studies.instances(STUDY)) == THREADS * 4 + 2


def test_a_worker_and_the_end_of_its_lease_meet_and_one_wins(store: Store) -> None:
    backoff = Backoff(first=timedelta(0), longest=timedelta(0), attempts=99)
    late = START + timedelta(hours=1)
    for number in range(6):
        job = world.submit(store, f"1.2.{number}")
        claim = world.claim(store, now=START)

        def act(thread: int, claim: object = claim, uid: str = f"1.9.{number}") -> str:
            if thread % 2:
                return str(len(store.jobs.expire_leases(late, backoff)))
            try:
                store.commands.complete_run(claim, world.completed(uid), late)  # type: ignore[arg-type]
            except StaleClaim:
                return "stale"
            return "done"

        outcomes = at_once(act, threads=4)
        state = store.jobs.get(job.job_id).state
        if outcomes.count("done"):
            assert (outcomes.count("done"), outcomes.count("1")) == (1, 0)
            assert state is JobState.DONE
            assert len(store.deliveries.of_study(job.study_instance_uid)) == 2
        else:
            assert outcomes.count("1") == 1
            assert state is JobState.RETRYING
            assert store.deliveries.of_study(job.study_instance_uid) == ()
            store.commands.cancel(job.job_id)


def test_resubmitting_at_once_makes_one_run(store: Store) -> None:
    world.submit(store)
    job = world.finish(store)

    def resubmit(_number: int) -> int | None:
        try:
            return store.commands.resubmit(job.job_id, START).run_number
        except IllegalTransition:
            return None

    numbers = at_once(resubmit)
    assert [number for number in numbers if number] == [2]
