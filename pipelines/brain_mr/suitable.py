"""What is refused by its attributes, before anything is computed. Pure.

An attribute that is absent refuses nothing: scanners leave many out. Where it matters to the
reader that something was not known, a note says so.
"""

import re
from collections.abc import Iterator

from appliance.core.model import Attributes
from pipelines.checks import NO_CONTRAST, not_an_adult, not_as_acquired, numbers, texts, years

_HEAD = ("BRAIN", "HEAD", "SKULL", "HEADNECK", "HEAD NECK", "HEAD AND NECK")
_SAYS_CONTRAST = re.compile(
    r"(?i)(\+[ _-]?(c|gd|km|gad\w*|contrast)"
    r"|(?<![a-z])(gado\w*|gad|gd|km|post[ _-]?(contrast|gad\w*|gd|km|inj\w*)?|c\+|ce"
    r"|contrast[ _-]?enhanced|(with|w/?)[ _-]?contrast"
    r"|multihance|dotarem|magnevist|prohance|omniscan|clariscan|vueway|elucirem|primovist)"
    r")(?![a-z])"
)
_SAYS_T1 = re.compile(r"(?i)t1|mp-?rage|spgr|bravo|tfe|flash|\bfspgr|vibe")
_SAYS_OTHER = re.compile(
    r"(?i)t2|flair|(?<![a-z])(pd|stir|dwi|adc|swi|tof|bold|dti|asl|mip|fmri)(?![a-z])|angio|perf"
)
_T2_ECHO_MS = 30.0  # a longer echo weights by T2
_SPIN_ECHO_T1_MS = 1500.0  # a spin echo repeated more slowly is not T1-weighted
_STIR_MS = 300.0  # a shorter inversion time nulls fat, not grey matter


def refusals(modality: str, attributes: Attributes) -> tuple[str, ...]:
    """Return every reason for which a series is not an adult's T1 head without contrast."""
    if modality != "MR":
        return (f"the modality is {modality or 'not known'}; MR is needed",)
    return tuple(
        reason
        for check in (_body_part, not_an_adult, _contrast, _weighting, _timing, not_as_acquired)
        for reason in check(attributes)
    )


def notes(attributes: Attributes) -> tuple[str, ...]:
    """Return what the reader should know was not known."""
    found = []
    if years(attributes) is None:
        found.append("The patient's age is not in the images; the model was made for adults.")
    if not _SAYS_T1.search(_description(attributes)) and not numbers(attributes, "RepetitionTime"):
        found.append("The images do not say how they are weighted; T1 is assumed.")
    return tuple(found)


def _body_part(attributes: Attributes) -> Iterator[str]:
    for part in texts(attributes, "BodyPartExamined"):
        if part.upper().replace("_", " ").strip() not in (*_HEAD, ""):
            yield f"the body part is {part}; a head is needed"


def _contrast(attributes: Attributes) -> Iterator[str]:
    agents = [text.strip() for text in texts(attributes, "ContrastBolusAgent")]
    if any(agent.upper() not in ("", *NO_CONTRAST) for agent in agents):
        yield f"contrast agent was given ({', '.join(agents)}); native images are needed"
        return
    given = max(numbers(attributes, "ContrastBolusVolume"), default=0.0)
    if given > 0:
        yield f"{given:g} mL of contrast agent were given; native images are needed"
        return
    said = _SAYS_CONTRAST.search(_description(attributes))
    if said:
        yield f"the description says contrast agent ({said[0].strip()!r}); native images are needed"


def _weighting(attributes: Attributes) -> Iterator[str]:
    for contrast in texts(attributes, "AcquisitionContrast"):
        if contrast.upper() not in ("T1", "UNKNOWN", "MIXED", ""):
            yield f"the images are {contrast}-weighted; T1 is needed"
    description = _description(attributes)
    other = _SAYS_OTHER.search(description)
    if other and not _SAYS_T1.search(description):
        yield f"the description says {other[0]!r}; T1 is needed"


def _timing(attributes: Attributes) -> Iterator[str]:
    sequence = {text.upper() for text in texts(attributes, "ScanningSequence")}
    for echo in numbers(attributes, "EchoTime", "EffectiveEchoTime"):
        if echo > _T2_ECHO_MS:
            yield f"the echo time is {echo:g} ms, which weights by T2; T1 is needed"
    for repetition in numbers(attributes, "RepetitionTime"):
        if "SE" in sequence and "IR" not in sequence and repetition > _SPIN_ECHO_T1_MS:
            yield f"a spin echo with a repetition time of {repetition:g} ms is not T1-weighted"
    for inversion in numbers(attributes, "InversionTime", "InversionTimes"):
        if 0 < inversion < _STIR_MS:
            yield f"the inversion time is {inversion:g} ms, which nulls fat; T1 is needed"
    if "EP" in sequence:
        yield "the sequence is echo-planar; T1 is needed"


def _description(attributes: Attributes) -> str:
    return " ".join(
        texts(attributes, "SeriesDescription", "ProtocolName", "SequenceName", "PulseSequenceName")
    )
