"""Coding schemes that codes may be of, and what a code of each looks like.

The designators are those of PS3.16 section 8 (table 8-1) and PS3.3 section 8.2. A private scheme
starts with 99 (PS3.3 section 8.2) and is declared by whoever uses it.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from appliance.core import product

PRIVATE = "99"
_RETIRED = MappingProxyType({"SRT": "SCT", "SNM3": "SCT", "99SDM": "SCT"})

# Verhoeff's check digit, with which SNOMED CT identifiers end (Release File Specifications, 5.8).
_TURNED = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
_DIHEDRAL = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)


def _snomed(value: str) -> bool:
    """Return whether `value` is a concept's identifier: its partition, its check digit."""
    if re.fullmatch(r"[1-9][0-9]{2,14}[01]0[0-9]", value) is None:
        return False
    check = 0
    for place, digit in enumerate(reversed(value)):
        turned = int(digit)
        for _ in range(place % 8):
            turned = _TURNED[turned]
        check = _DIHEDRAL[check][turned]
    return check == 0


def _loinc(value: str) -> bool:
    """Return whether `value` is a LOINC number, whose last digit is Luhn's."""
    if re.fullmatch(r"[0-9]{1,7}-[0-9]", value) is None:
        return False
    digits = [int(digit) for digit in reversed(value.replace("-", ""))]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _like(pattern: str) -> Callable[[str], bool]:
    return lambda value: re.fullmatch(pattern, value) is not None


_any = _like(".+")

# By designator: whether a value can be a code of the scheme.
SCHEMES: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "BARI": _any,
        "DCM": _any,
        "FMA": _like("[0-9]+"),
        "I10": _any,
        "I10P": _any,
        "I11": _any,
        "IBSI": _like("[0-9A-Z]{3,4}"),
        "ITIS_TSN": _like("[0-9]+"),
        "LN": _loinc,
        "MDC": _any,
        "MSH": _like("[CDQ][0-9]+"),
        "NCIt": _like("C[0-9]+"),
        "NDC": _any,
        "NEU": _like("[0-9]+"),
        "PUBCHEM_CID": _like("[0-9]+"),
        "RADELEMENT": _like("RDES?[0-9.]+"),
        "RADLEX": _like("RP?ID[0-9]+"),
        "RFC5646": _any,
        "RXNORM": _like("[0-9]+"),
        "SCT": _snomed,
        "UCUM": _any,
        "UMLS": _like("C[0-9]{7}"),
        product.CODING_SCHEME: _any,
    }
)


def code_problem(value: str, scheme: str) -> str:
    """Return why `value` is no code of `scheme`, for an author; "" where it may be one."""
    if scheme in _RETIRED:
        return f"{scheme} is retired; write the code of {_RETIRED[scheme]}"
    looks_right = SCHEMES.get(scheme, _any)
    return "" if looks_right(value) else f"{value!r} is no code of {scheme}; look it up again"


def is_declared_by_users(scheme: str) -> bool:
    """Return whether who uses the scheme has to declare it."""
    return scheme.startswith(PRIVATE) and scheme != product.CODING_SCHEME
