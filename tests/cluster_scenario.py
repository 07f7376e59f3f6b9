"""Two nodes of a Ray cluster, a worker, and a node that dies in the middle of a job.

A process of its own in a network namespace of its own, so that the cluster's many ports are open
to nobody: `unshare --net python -m tests.cluster_scenario FOLDER STORE-URL`. Prints what happened
as JSON.
"""

import fcntl
import json
import os
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

from appliance.core.clock import SystemClock
from appliance.core.states import JobState
from appliance.jobs.cluster import ClusterOptions, RayExecutor
from appliance.jobs.worker import Worker
from tests.jobs_world import TROUBLE, World

ADDRESS = "127.0.0.1"
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def loopback_up() -> None:
    """A new network namespace has a loopback interface that is down (man 7 netdevice)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def busy_nodes(cluster: Any) -> list[Any]:
    """Return the nodes on which an actor has the CPU."""
    import ray  # noqa: PLC0415, only in a process that has a cluster

    free = ray._private.state.available_resources_per_node()
    return [one for one in cluster.worker_nodes if not free.get(one.node_id, {}).get("CPU")]


def main(folder: Path, url: str) -> dict[str, object]:
    loopback_up()
    from ray.cluster_utils import Cluster  # noqa: PLC0415, after the namespace is ready

    node = {"node_ip_address": ADDRESS, "object_store_memory": 100 << 20}
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **node}
    )
    for _ in range(2):
        cluster.add_node(num_cpus=1, **node)
    cluster.wait_for_nodes()
    executor = RayExecutor(
        ClusterOptions(address=cluster.address), warm_children=2, clock=SystemClock()
    )
    world = World(folder, url=url, executor=executor)
    try:
        worker = world.worker("w1")
        return {
            **first_runs(world, worker),
            **node_that_dies(world, worker, cluster),
            **cancelled(world, worker),
        }
    finally:
        world.close()
        executor.close()
        cluster.shutdown()


def first_runs(world: World, worker: Worker) -> dict[str, object]:
    jobs = [world.submit() for _ in range(3)]
    world.work(worker, lambda: all(state(world, job.job_id) is JobState.DONE for job in jobs))
    seconds = [world.store.jobs.get(job.job_id).seconds for job in jobs]
    return {
        "done": len(jobs),
        "objects": [len(world.store.results.objects(job.job_id)) for job in jobs],
        "cold_load_s": seconds[0]["load"],
        "warm_load_s": [one["load"] for one in seconds[1:]],
        "warm_transfer_s": [one["transfer"] for one in seconds[1:]],
    }


def node_that_dies(world: World, worker: Worker, cluster: Any) -> dict[str, object]:
    before = busy_nodes(cluster)
    job = world.submit(TROUBLE, "long")

    def remove() -> None:
        while world.store.jobs.get(job.job_id).phase != "long":
            time.sleep(0.02)
        [its] = [node for node in busy_nodes(cluster) if node not in before]
        cluster.remove_node(its, allow_graceful=False)

    killer = threading.Thread(target=remove)
    killer.start()
    reasons: set[str] = set()

    def done() -> bool:
        found = world.store.jobs.get(job.job_id)
        reasons.add(found.reason)
        return found.state.value in ("done", "failed", "refused")

    world.work(worker, done, seconds=120)
    killer.join()
    found = world.store.jobs.get(job.job_id)
    return {"after_death": found.state.value, "attempt": found.attempt, "reasons": sorted(reasons)}


def cancelled(world: World, worker: Worker) -> dict[str, object]:
    job = world.submit(TROUBLE, "hang")

    def cancel() -> None:
        while world.store.jobs.get(job.job_id).phase != "infer":
            time.sleep(0.02)
        world.store.commands.cancel(job.job_id)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    world.work(worker, lambda: state(world, job.job_id) is JobState.CANCELLED)
    canceller.join()
    after = world.submit()
    world.work(worker, lambda: state(world, after.job_id) is JobState.DONE)
    return {"after_cancel": state(world, after.job_id).value}


def state(world: World, job_id: int) -> JobState:
    return world.store.jobs.get(job_id).state


if __name__ == "__main__":
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
