"""What each refusal means for whoever sends, and what he should do: for the papers, in plain words.

A new refusal or outcome without a line here fails a test.
"""

from collections.abc import Mapping

from appliance.core.model import CommitmentFailure
from scp.association import Refusal
from scp.elements import NStatus
from scp.status import Outcome

REJECTED: Mapping[Refusal, str] = {
    Refusal.CALLED_AE_TITLE: "Write the appliance's AE title as the called one, exactly; capitals "
    "matter.",
    Refusal.CALLING_AE_TITLE: "Have your AE title entered at the appliance (`receiver.peers`), or "
    "call with the one that is.",
    Refusal.ADDRESS: "Your AE title is known, but from other addresses: have this one entered "
    "(`receiver.peers`); look for NAT and second network cards.",
    Refusal.CERTIFICATE: "Call the port with TLS, and show the certificate that the appliance has "
    "for your AE title (`receiver.peers[].certificate`).",
    Refusal.PEER_LIMIT: "Send with fewer associations at one time, or have "
    "`receiver.max_associations_per_peer` raised. Trying again later works.",
    Refusal.LIMIT: "Try again later. Where it happens every day, have "
    "`receiver.max_associations` raised.",
    Refusal.STOPPING: "Try again in a minute: the appliance starts anew.",
    Refusal.PROTOCOL_VERSION: "This is no DICOM peer of today; look what calls the port.",
    Refusal.APPLICATION_CONTEXT: "This is no DICOM peer of today; look what calls the port.",
}

ANSWERED: Mapping[Outcome, str] = {
    Outcome.STORED: "Nothing to do.",
    Outcome.DUPLICATE: "Nothing to do: the same bytes are here already.",
    Outcome.NO_ROOM: "Keep the images and send again later, by itself if you can; tell the "
    "appliance's sysadmin.",
    Outcome.TOO_LARGE: "The association is aborted instead of this answer. Have "
    "`receiver.max_message` raised; sending again as it is does not help.",
    Outcome.CLASS_MISMATCH: "The sender is at fault: its command names another SOP Class than "
    "the image. Sending again does not help; ask its vendor.",
    Outcome.INSTANCE_MISMATCH: "The sender is at fault: its command names another image. Sending "
    "again does not help; ask its vendor.",
    Outcome.NOT_DICOM: "The data set is not in the transfer syntax that was agreed. Offer one "
    "transfer syntax only, then ask the sender's vendor.",
    Outcome.TRUNCATED: "Send again; if it is cut off each time, the sender's own copy is.",
    Outcome.NO_DATA_SET: "The sender is at fault: it sent a command without an image.",
    Outcome.NO_INSTANCE_UID: "The image has no SOP Instance UID: repair it at its source.",
    Outcome.NO_STUDY_OR_SERIES_UID: "The image lacks its Study or Series Instance UID: repair it "
    "at its source.",
    Outcome.UNUSABLE_UID: "The image has a UID that is none: repair it at its source.",
    Outcome.OTHER_STUDY: "Of a study that the appliance asked for: the answer brought another one.",
    Outcome.SOP_CLASS: "By other doors than C-STORE: this is no storage SOP Class.",
    Outcome.TRANSFER_SYNTAX: "By other doors than C-STORE: deflated data sets are not taken; send "
    "them in another transfer syntax.",
    Outcome.FAILED: "Send again later; tell the appliance's sysadmin: the log has the reason.",
}

NOTIFIED: Mapping[NStatus, str] = {
    NStatus.SUCCESS: "The message is durable. Nothing to do.",
    NStatus.INVALID_VALUE: "An attribute has a value that the service does not allow; the comment "
    "names it. Sending again does not help.",
    NStatus.FAILURE: "With Error ID A710H: the procedure step is over and is not changed any "
    "more. Without: send again later.",
    NStatus.DUPLICATE: "A procedure step of this SOP Instance UID was created before.",
    NStatus.NO_SUCH_INSTANCE: "The procedure step was not created here, or it is not the "
    "well-known instance of storage commitment.",
    NStatus.INVALID_ARGUMENT: "The storage commitment request cannot be read, or names nothing.",
    NStatus.INVALID_INSTANCE: "The SOP Instance UID is none.",
    NStatus.MISSING_ATTRIBUTE: "A required attribute is not there; the comment names it.",
    NStatus.MISSING_VALUE: "A required attribute is empty; the comment names it.",
    NStatus.NO_SUCH_ACTION: "The one action of storage commitment is 1.",
    NStatus.NOT_AUTHORISED: "Storage commitment is off for this AE title "
    "(`receiver.peers[].commitment`).",
    NStatus.RESOURCES: "No room, too many messages that wait, or one that is too long; send again "
    "later.",
}

NOT_COMMITTED: Mapping[CommitmentFailure, str] = {
    CommitmentFailure.PROCESSING_FAILURE: "It is not what was received any more, or cannot be "
    "read. Keep it, send it again, and tell the appliance's sysadmin.",
    CommitmentFailure.NO_SUCH_INSTANCE: "It is not here: never received, or deleted since. Keep "
    "it, and send it (again).",
    CommitmentFailure.CLASS_CONFLICT: "It is here with another SOP Class: the sender is at fault.",
}
