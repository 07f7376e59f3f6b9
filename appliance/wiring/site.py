"""An installation, opened: its folders, secrets, store and spool."""

import importlib
import os
import secrets
import socket
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from appliance.core.clock import Clock, SystemClock
from appliance.core.documents import suggest
from appliance.core.errors import BadInstance, ConfigError, StoreError
from appliance.core.ports import Role
from appliance.service import SocketWakeup
from appliance.settings.load import load_settings
from appliance.settings.model import Settings
from scp.scratch import sync_folder
from scp.spool import Spool
from scp.tally import Tally

if TYPE_CHECKING:
    from results_store.store import Store

_KEY_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where things lie under the data folder."""

    spool: Path
    results: Path
    secrets: Path
    run: Path
    scratch: Path  # what pipelines write; nothing in it outlives the worker
    tallies: Path


class Site:
    """Everything that more than one role needs. Close it, or use it with `with`.

    The store is opened when it is first asked for: receiving goes on without it.
    """

    def __init__(self, settings: Settings, folders: Folders, clock: Clock) -> None:
        self.settings = settings
        self.folders = folders
        self.clock = clock
        self.spool = Spool(folders.spool)
        self.wakeup = SocketWakeup(folders.run)

    @cached_property
    def store(self) -> "Store":
        """The store, brought to this version's schema. Raises StoreError, ConfigError."""
        opening = importlib.import_module("appliance.wiring.store")  # what the receiver never needs
        store: Store = opening.ready_store(self.settings, self.clock)
        return store

    @cached_property
    def tally(self) -> Tally:
        """This process's counters; written by `flush`, and when the site is closed."""
        stow = self.settings.receiver.stow
        known = [one.ae_title for one in self.settings.destinations.values()]
        known += [client.ae_title for client in stow.clients] if stow else []
        return Tally(self.folders.tallies, self.clock, known)

    def flush(self) -> None:
        """Write what was counted, if anything was; to be called every second or so."""
        if "tally" in self.__dict__:
            self.tally.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the store and the counters."""
        if "tally" in self.__dict__:
            self.__dict__.pop("tally").close()
        if "store" in self.__dict__:
            self.store.close()

    def image(self, spool_name: str) -> Path | None:
        """Return the file of a received image, or None where it is no longer kept.

        A row may outlive its file: retention deletes that first, and a store that is restored
        knows images that are gone.
        """
        try:
            return self.spool.path(spool_name)
        except BadInstance:
            return None

    def wake_all(self) -> None:
        """Tell every role that there may be work."""
        for role in Role:
            self.wakeup.wake(role)

    def secret(self, name: str) -> bytes:
        """Return a key of 32 random bytes of this installation alone; made when first asked."""
        path = self.folders.secrets / name
        try:
            return _read_key(path)
        except FileNotFoundError:
            _make_key(path)
            return _read_key(path)

    def known(self, kind: str, name: str) -> None:
        """Raise StoreError unless the settings have a `kind` (route, pipeline, …) of this name."""
        names = {
            "route": [route.name for route in self.settings.routes],
            "pipeline": list(self.settings.pipelines),
            "destination": list(self.settings.destinations),
        }[kind]
        if name not in names:
            raise StoreError(f"there is no {kind} {name!r}{suggest(name, names)}")


def load(config: Path) -> Settings:
    """Return the settings. Raises ConfigError with every mistake."""
    return load_settings(config)


def lease_holder() -> str:
    """Return a name that no other process has or will have, for what this one claims."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def folders_of(settings: Settings) -> Folders:
    """Return where things lie."""
    data = settings.appliance.data_dir
    return Folders(
        spool=data / "spool",
        results=data / "results",
        secrets=data / "secrets",
        run=data / "run",
        scratch=data / "scratch",
        tallies=data / "tallies",
    )


def open_site(config: Path) -> Site:
    """Return the installation that `config` describes, its folders made ready.

    Raises ConfigError.
    """
    settings = load(config)
    folders = folders_of(settings)
    try:
        for folder in (folders.spool, folders.results, folders.run):
            folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        folders.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ConfigError(
            f"{config}:1: appliance.data_dir: {error.filename} cannot be made: {error.strerror}; "
            "name a folder that this user may write to"
        ) from None
    return Site(settings, folders, SystemClock())


def _read_key(path: Path) -> bytes:
    key = path.read_bytes()
    if len(key) != _KEY_BYTES:
        raise StoreError(f"{path} is damaged ({len(key)} bytes, not {_KEY_BYTES}); restore it")
    return key


def _make_key(path: Path) -> None:
    """Place a new key whole or not at all; the first of several processes wins."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    sync_folder(path.parent)  # what the store keeps under this key must not outlive it
