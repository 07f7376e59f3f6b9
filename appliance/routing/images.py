"""Which SOP Classes are no images: they are stored, but no rule ever selects them.

PS3.4 annex B.5 lists the standard storage SOP Classes; the table names those without pixels that
a pipeline could read, by the UID's beginning. A private SOP Class counts as an image if its
instance has Rows.
"""

from dataclasses import replace

from appliance.core.model import InstanceSummary, SeriesSummary

_STORAGE = "1.2.840.10008.5.1.4.1.1."

NON_IMAGE = (
    f"{_STORAGE}4.2",  # MR Spectroscopy
    f"{_STORAGE}9.",  # waveforms
    f"{_STORAGE}11.",  # presentation states
    f"{_STORAGE}66",  # raw data, registrations, fiducials, segmentations, tractography
    f"{_STORAGE}67",  # real world value mapping
    f"{_STORAGE}68.",  # surface scan
    f"{_STORAGE}77.1.5.3",  # stereometric relationship
    f"{_STORAGE}78.",  # ophthalmic measurements
    f"{_STORAGE}79.",
    f"{_STORAGE}80.",
    f"{_STORAGE}88.",  # structured reports, key object selections
    f"{_STORAGE}90.",  # content assessment
    f"{_STORAGE}104.",  # encapsulated documents
    f"{_STORAGE}131",  # basic structured display
    f"{_STORAGE}200.",  # defined procedure protocols
    f"{_STORAGE}201.",  # inventory
    f"{_STORAGE}481.",  # radiotherapy, but see below
    "1.2.840.10008.5.1.4.34.",  # worklists, RT instructions
    "1.2.840.10008.5.1.4.38.",  # hanging protocols
    "1.2.840.10008.5.1.4.39.",  # colour palettes
    "1.2.840.10008.5.1.4.43.",  # generic implants
    "1.2.840.10008.5.1.4.44.",
    "1.2.840.10008.5.1.4.45.",
)
_RT_IMAGES = frozenset({f"{_STORAGE}481.1", f"{_STORAGE}481.23"})


def is_image_class(sop_class_uid: str) -> bool:
    """Return whether objects of this class are images. Private classes: as far as known, yes."""
    return sop_class_uid in _RT_IMAGES or not sop_class_uid.startswith(NON_IMAGE)


def is_image(instance: InstanceSummary) -> bool:
    """Return whether a rule may select the instance."""
    if instance.sop_class_uid.startswith("1.2.840.10008."):
        return is_image_class(instance.sop_class_uid)
    return bool(instance.attributes.get("Rows"))


def images_only(series: SeriesSummary) -> SeriesSummary:
    """Return the series without what is no image."""
    kept = tuple(instance for instance in series.instances if is_image(instance))
    return series if len(kept) == len(series.instances) else replace(series, instances=kept)
