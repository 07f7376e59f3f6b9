"""Whether a folder is on a local disk; SQLite's locks and its WAL are not safe elsewhere."""

import re
from pathlib import Path

from appliance.core.errors import ConfigError
from results_store.options import parse_url, sqlite_file

# A hypervisor's shares of its own host (9p, virtiofs) are not among them: one kernel serves them.
_NETWORK = frozenset(
    {
        "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "fuse.cephfs", "fuse.glusterfs",
        "fuse.rclone", "fuse.s3fs", "fuse.sshfs", "gfs2", "gluster", "glusterfs", "lustre", "ncpfs",
        "nfs", "nfs4", "ocfs2", "orangefs", "smb2", "smb3", "smbfs",
    }
)  # fmt: skip
_OCTAL = re.compile(r"\\([0-7]{3})")


def check_local_disk(url: str, mountinfo: Path = Path("/proc/self/mountinfo")) -> None:
    """Return if the store may be where `url` says. Raises ConfigError on a network file system."""
    file = sqlite_file(parse_url(url))
    if file is None:
        return
    kind = file_system_type(file, mountinfo.read_text(encoding="utf-8"))
    if kind in _NETWORK:
        raise ConfigError(
            f"{file} is on a network file system ({kind}), where SQLite can lose what it "
            "committed; put the store on a local disk, or use PostgreSQL"
        )


def file_system_type(file: Path, mountinfo: str) -> str:
    """Return the type of the file system that `file` is or would be on, or "" (see proc(5))."""
    real = file.absolute().resolve()
    best, kind = -1, ""
    for line in mountinfo.splitlines():
        left, _, right = line.partition(" - ")
        fields = left.split()
        if len(fields) < 5 or not right:
            continue
        mount = Path(_OCTAL.sub(lambda match: chr(int(match[1], 8)), fields[4]))
        # Later lines hide earlier ones on the same mount point.
        if real.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), right.split()[0]
    return kind
