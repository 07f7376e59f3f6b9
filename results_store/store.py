"""open_store() and Store: one attribute a table group."""

from contextlib import ExitStack

from appliance.core.clock import Clock
from appliance.core.errors import StoreError
from results_store.accounts import Accounts
from results_store.announcements import Announcements
from results_store.commands import Commands
from results_store.controls import Controls
from results_store.deliveries import Deliveries
from results_store.drift import Drift
from results_store.engine import Database, make_engine
from results_store.feedback_log import FeedbackLog
from results_store.fetches import Fetches
from results_store.imports import Imports
from results_store.jobs import Jobs
from results_store.keeping import Keeping
from results_store.local_disk import check_local_disk
from results_store.options import StoreOptions, parse_url, sqlite_file
from results_store.overview import Overview
from results_store.registry import Registry
from results_store.results import Results
from results_store.revisions import check_current
from results_store.routes import Decisions, Routes
from results_store.studies import Studies
from results_store.trail import Audit, Events


class Store:
    """The database. Every method is a transaction of its own; threads may share a Store."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.studies = Studies(database)
        self.announcements = Announcements(database)
        self.keeping = Keeping(database)
        self.routes = Routes(database)
        self.decisions = Decisions(database)
        self.commands = Commands(database)
        self.jobs = Jobs(database)
        self.results = Results(database)
        self.deliveries = Deliveries(database)
        self.feedback = FeedbackLog(database)
        self.accounts = Accounts(database)
        self.audit = Audit(database)
        self.events = Events(database)
        self.drift = Drift(database)
        self.controls = Controls(database)
        self.fetches = Fetches(database)
        self.imports = Imports(database)
        self.overview = Overview(database)
        self.registry = Registry(database)

    def close(self) -> None:
        """Close every connection; the next call opens new ones."""
        self.database.close()


def open_store(options: StoreOptions, clock: Clock) -> Store:
    """Return the store, whose schema is checked to be this version's (see `migrate`).

    Raises StoreError, and ConfigError where the URL or the disk will not do.
    """
    url = parse_url(options.url)
    check_local_disk(options.url)
    file = sqlite_file(url)
    if file is not None and not file.exists():
        raise StoreError(f"{file} does not exist; start the appliance once (`appliance run`)")
    database = Database(make_engine(url, options.busy_timeout), clock)
    with ExitStack() as undo:
        undo.callback(database.close)
        with database.read() as connection:
            check_current(connection)
        undo.pop_all()
    return Store(database)
