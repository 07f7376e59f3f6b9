"""The deliver role."""

from functools import partial

from appliance.core.model import Delivery
from appliance.core.ports import Role
from appliance.delivery.courier import Courier
from appliance.delivery.lane import NotFound
from appliance.delivery.options import CourierOptions, DestinationOptions, Verify
from appliance.intake.patient import patient_key
from appliance.service import Service, Stop
from appliance.wiring.identity import patient_identity
from appliance.wiring.nodes import client_of
from appliance.wiring.site import Site, lease_holder

_VERIFY = {"c-find": Verify.FIND, "none": Verify.NONE}


def build(site: Site, _stop: Stop) -> Service:
    """Return the role."""
    settings = site.settings
    courier = Courier(
        courier_options(site),
        site.store,
        {name: client_of(settings, name) for name in settings.destinations},
        partial(_identity, site, site.secret("patient-key")),
        site.clock,
    )
    return Service(role=Role.DELIVER, step=courier.step, close=courier.close)


def courier_options(site: Site) -> CourierOptions:
    """Return what the courier is told."""
    return CourierOptions(
        name=lease_holder(),
        destinations=tuple(
            DestinationOptions(
                name=name,
                verify=_VERIFY[destination.verify],
                check_identity=destination.check_identity,
                send=destination.backoff,
            )
            for name, destination in site.settings.destinations.items()
        ),
        results=site.folders.results,
        lease=site.settings.jobs.delivery_lease,
    )


def _identity(site: Site, key: bytes, delivery: Delivery) -> str | NotFound | None:
    """Return the keyed hash of the patient whom the destination has for the study.

    Many archives do not return the issuer, and many modalities do not write it: where one of the
    two says nothing, the ID alone is compared.
    """
    match = client_of(site.settings, delivery.destination).find_study(delivery.study_instance_uid)
    if match is None:
        return NotFound.NOT_FOUND
    issuer = match.issuer_of_patient_id
    images = _issuer_of_images(site, delivery)
    if images is not None and not (issuer and images):
        issuer = images
    return patient_key(key, match.patient_id, issuer)


def _issuer_of_images(site: Site, delivery: Delivery) -> str | None:
    """Return the issuer as the images have it that the result was made of; None without any."""
    for one in site.store.jobs.get(delivery.job_id).inputs[:1]:
        path = site.image(one.spool_name)
        if path is not None:
            return patient_identity(path)[1]
    return None
