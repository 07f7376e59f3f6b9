"""From a role to what its process does.

Each role's module is imported only where the role runs: the receiver loads no web framework and
the worker no statistics.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType, ModuleType

from appliance.core.ports import Role
from appliance.service import Service, Stop
from appliance.wiring.site import Site

_MODULES: Mapping[Role, str] = MappingProxyType(
    {
        Role.RECEIVE: "appliance.wiring.receive",
        Role.ORCHESTRATE: "appliance.wiring.intake",
        Role.WORK: "appliance.wiring.work",
        Role.DELIVER: "appliance.wiring.deliver",
        Role.WEB: "appliance.wiring.web",
        Role.SCHEDULE: "appliance.wiring.schedule",
    }
)


def module_of(role: Role) -> ModuleType:
    """Return the role's module, and with it all that the role uses."""
    return importlib.import_module(_MODULES[role])


def build_service(role: Role, site: Site, stop: Stop) -> Service:
    """Return the role, ready to run. Raises ConfigError."""
    service: Service = module_of(role).build(site, stop)
    return service
