"""From an A-ASSOCIATE-RQ to the answer: pynetdicom decodes, negotiates and encodes.

PS3.8 section 9.3.2 and annex D; PS3.7 annex D for the user information.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.uid import UID
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    ImplementationVersionNameNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import PresentationContext, negotiate_as_acceptor

from appliance.core.product import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from scp.command import ProtocolViolation

APPLICATION_CONTEXT = "1.2.840.10008.3.1.1.1"  # the only one, PS3.7 annex A
_PROTOCOL_VERSION = struct.Struct(">6xH")

# What pynetdicom raises for bytes that are no A-ASSOCIATE-RQ depends on where they go wrong.
_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a peer asks for; `primitive` is the library's."""

    calling_ae_title: str
    called_ae_title: str
    abstract_syntaxes: tuple[str, ...]
    longest_pdu: int  # that the peer takes; 0: no limit
    application_context: str
    is_version_1: bool  # of the protocol, PS3.8 section 9.3.2
    primitive: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """The A-ASSOCIATE-AC, and the transfer syntax of each accepted context by its id."""

    pdu: bytes
    transfer_syntaxes: Mapping[int, str]


def decode(pdu: bytes) -> Request:
    """Return the request in a whole A-ASSOCIATE-RQ PDU. Raises ProtocolViolation."""
    try:
        request = A_ASSOCIATE_RQ()
        request.decode(pdu)
        primitive = request.to_primitive()
        return Request(
            calling_ae_title=str(primitive.calling_ae_title or "").strip(),
            called_ae_title=str(primitive.called_ae_title or "").strip(),
            abstract_syntaxes=tuple(
                str(context.abstract_syntax)
                for context in primitive.presentation_context_definition_list
            ),
            longest_pdu=int(primitive.maximum_length_received or 0),
            application_context=str(primitive.application_context_name or ""),
            is_version_1=bool(_PROTOCOL_VERSION.unpack_from(pdu)[0] & 1),
            primitive=primitive,
        )
    except _UNREADABLE as error:
        raise ProtocolViolation("the A-ASSOCIATE-RQ cannot be read") from error


def agree(
    request: Request, supported: Sequence[PresentationContext], longest_pdu: int
) -> Agreement:
    """Return what we accept of the request. Raises ProtocolViolation."""
    try:
        contexts, roles = negotiate_as_acceptor(
            request.primitive.presentation_context_definition_list,
            list(supported),
            _roles(request.primitive),
        )
        answer = A_ASSOCIATE()
        answer.application_context_name = UID(APPLICATION_CONTEXT)
        answer.calling_ae_title = request.primitive.calling_ae_title
        answer.called_ae_title = request.primitive.called_ae_title
        answer.result, answer.result_source = 0, 1
        answer.presentation_context_definition_results_list = contexts
        answer.user_information = [*_implementation(longest_pdu), *roles]
        accepted = A_ASSOCIATE_AC()
        accepted.from_primitive(answer)
        pdu = bytes(accepted.encode())
    except _UNREADABLE as error:
        raise ProtocolViolation("the A-ASSOCIATE-RQ cannot be answered") from error
    return Agreement(
        pdu=pdu,
        transfer_syntaxes={
            cx.context_id: str(cx.transfer_syntax[0]) for cx in contexts if cx.result == 0
        },
    )


def _roles(primitive: A_ASSOCIATE) -> dict[str, tuple[bool | None, bool | None]]:
    return {
        item.sop_class_uid: (item.scu_role, item.scp_role)
        for item in primitive.user_information
        if type(item).__name__ == "SCP_SCU_RoleSelectionNegotiation"
    }


def _implementation(longest_pdu: int) -> list[Any]:
    length = MaximumLengthNotification()
    length.maximum_length_received = longest_pdu
    uid = ImplementationClassUIDNotification()
    uid.implementation_class_uid = UID(IMPLEMENTATION_CLASS_UID)
    name = ImplementationVersionNameNotification()
    name.implementation_version_name = IMPLEMENTATION_VERSION_NAME
    return [length, uid, name]
