"""Who we are on the wire and in the objects that we make."""

from typing import Final

VERSION: Final = "0.1.0"
MANUFACTURER: Final = "Clinical Deployment Appliance project"
MODEL_NAME: Final = "Clinical Deployment Appliance"

IMPLEMENTATION_CLASS_UID: Final = "2.25.305864978210947862759817975236367143669"
IMPLEMENTATION_VERSION_NAME: Final = f"CDA_{VERSION.replace('.', '_')}"

# Stands as Device UID in every object that any installation makes, so that our own objects are
# known again after the store was restored from an older backup.
APPLIANCE_DEVICE_UID: Final = "2.25.308672183413693290415202938589402811654"

CODING_SCHEME: Final = "99CDA"
CODING_SCHEME_NAME: Final = "Clinical Deployment Appliance"
CODING_SCHEME_UID: Final = "2.25.94839654139606914406310903980728762654"
