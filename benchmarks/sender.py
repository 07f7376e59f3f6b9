"""One association of a benchmark, as a process: it says "ready", waits for a line, then sends.

    python -m benchmarks.sender  < a line of JSON, then any line

It imports nothing but the standard library and prints what it did as JSON. See `sending.own`.
"""

import gc
import json
import sys
import time
from typing import Any

from benchmarks.wire import Association, Blank, uid


def main() -> None:
    order = json.loads(sys.stdin.readline())
    blank = Blank.from_json(order["blank"])
    association = Association(order["port"], [blank.sop_class_uid])
    instance = association.instance(blank)
    study, series = (uid(kind, order["run"], order["share"], 0) for kind in (1, 2))
    gc.disable()
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, began = time.process_time(), time.monotonic()
    refused: list[str] = []
    slowest = 0.0
    for index in range(1, order["count"] + 1):
        before = time.monotonic()
        instance.number(index % 65_536, study, series, uid(3, order["run"], order["share"], index))
        if status := association.store(instance):
            refused.append(f"{index}: {status:04X}")
        slowest = max(slowest, time.monotonic() - before)
    association.release()
    answer: dict[str, Any] = {
        "began": began,
        "ended": time.monotonic(),
        "cpu_seconds": time.process_time() - cpu,
        "refused": refused,
        "slowest_seconds": slowest,
    }
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
