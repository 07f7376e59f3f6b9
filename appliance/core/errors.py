"""The one error tree. The class says whose fault it is and whether to try again.

    ApplianceError
    ├── ConfigError                 the sysadmin's files; exit code 78
    ├── PeerError                   another DICOM or HTTP node; try again later
    │   └── PeerRefused             it answered, and said no for good
    ├── BadInstance                 a received object; quarantine it, go on
    ├── PipelineError               a model or its input
    │   ├── TransientPipelineError  worth another attempt (child died, out of memory)
    │   └── PermanentPipelineError  the same again would fail the same way
    │       └── InputRefused        the pipeline says that this is not what it was made for
    └── StoreError                  the database
        ├── StaleClaim              a fencing token that is no longer the job's
        └── IllegalTransition       an event that the state's table does not know

Callers branch on the class, never on the message. Messages say where and what to do, and
carry no patient attribute.
"""


class ApplianceError(Exception):
    """Anything that this appliance raises on purpose."""


class ConfigError(ApplianceError):
    """A setting is wrong. Holds every problem found, not only the first."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class PeerError(ApplianceError):
    """A peer could not be reached or broke off; the same request may succeed later."""


class PeerRefused(PeerError):
    """A peer answered with a refusal that repeating will not change."""


class BadInstance(ApplianceError):
    """A received object that cannot be used; says which one and why."""


class PipelineError(ApplianceError):
    """A pipeline did not produce a result."""


class TransientPipelineError(PipelineError):
    """Another attempt may succeed."""


class PermanentPipelineError(PipelineError):
    """Another attempt with the same input would fail in the same way."""


class InputRefused(PermanentPipelineError):
    """The input is not what the pipeline was made for. Not a failure of the appliance."""


class StoreError(ApplianceError):
    """The store could not do what was asked."""


class StaleClaim(StoreError):
    """The caller's (job, attempt, worker) no longer holds the job: nothing was written."""


class IllegalTransition(StoreError):
    """The event is not allowed in the current state."""
