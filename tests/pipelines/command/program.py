"""An outside program for tests: does what it is told, in the order in which it is told.

    program.py IN OUT ACTION[;ACTION…]      ACTION is NAME or NAME=TEXT

It knows nothing of the appliance. The modules that make DICOM and NIfTI are imported when they are
asked for.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

IN, OUT = Path(sys.argv[1]), Path(sys.argv[2])


def objects():
    return importlib.import_module("dicom_objects")


def file(name):
    (OUT / name).parent.mkdir(parents=True, exist_ok=True)
    (OUT / name).write_bytes(b"something")


def many(count):
    for number in range(int(count)):
        (OUT / f"{number}.txt").touch()


def large(mebibytes):
    with (OUT / "large.bin").open("wb") as stream:
        for _ in range(int(mebibytes)):
            stream.write(bytes(1 << 20))


def replace(by):
    """Put a link to `by` in the place of its output folder."""
    OUT.rmdir()
    OUT.symlink_to(by)


def print_much(mebibytes):
    for _ in range(int(mebibytes)):
        sys.stdout.buffer.write(b"x" * (1 << 20))


def tell(_):
    """Write down what it was told and given, as texts."""
    names = sorted(path.relative_to(IN).as_posix() for path in IN.rglob("*"))
    found = {
        "environment": dict(os.environ),
        "names": " ".join(sorted(os.environ)),
        "arguments": " | ".join(sys.argv[4:]),
        "place": str(Path.cwd()),
        "files": " ".join(names[:3])[:200],
        "kept": " ".join(sorted(str(p.is_symlink() or p.stat().st_nlink) for p in IN.rglob("*"))),
    }
    if (IN / "task.json").exists():
        found["task"] = json.loads((IN / "task.json").read_text())
        found["settings"] = json.dumps(found["task"]["process"]["settings"])
    (OUT / "result.json").write_text(json.dumps(found))


def lines(count):
    for number in range(int(count)):
        print(f"line {number:08}")


def spoil_inputs(_):
    for path in IN.rglob("*"):
        path.write_bytes(b"gone")


def daemon(seconds):
    """Leave a process behind: in a session of its own, its parent gone, holding the pipe."""
    told, tell = os.pipe()
    code = (
        "import os, time; os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0);"
        f"print(os.getpid(), flush=True); os.write({tell}, b'.'); time.sleep({seconds})"
    )
    subprocess.run([sys.executable, "-c", code], check=True, pass_fds=[tell])
    os.read(told, 1)  # its number must be out before this program ends


ACTIONS = {
    "seg": lambda _: objects().save(objects().make_seg()),
    "seg+sr": lambda _: objects().seg_and_sr(),
    "sc": lambda values: objects().save(objects().make_sc(**json.loads(values or "{}"))),
    "pdf": lambda _: objects().save(objects().make_pdf()),
    "filter": lambda _: objects().filtered(),
    "name": lambda _: print("of", objects().images()[0].PatientName, flush=True),
    "labels": lambda name: importlib.import_module("label_maps").mark(name),
    "json": (OUT / "result.json").write_text,
    "file": file,
    "many": many,
    "large": large,
    "link": (OUT / "linked.dcm").symlink_to,
    "fifo": lambda _: os.mkfifo(OUT / "pipe.dcm"),
    "replace": replace,
    "print": lambda text: print(text, flush=True),
    "print-much": print_much,
    "lines": lines,
    "tell": tell,
    "spoil-inputs": spoil_inputs,
    "daemon": daemon,
    "sleep": lambda seconds: time.sleep(float(seconds)),
    "exit": lambda code: sys.exit(int(code)),
    "signal": lambda number: os.kill(os.getpid(), int(number)),
}

for action in filter(None, sys.argv[3].split(";") if len(sys.argv) > 3 else ()):
    name, _, text = action.partition("=")
    ACTIONS[name](text)
