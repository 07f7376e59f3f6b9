"""`metadata.json` of a MONAI bundle, and whether it agrees with our manifest.

The keys are those of the MONAI bundle specification (network_data_format). Whether a network
gives as many channels as are promised here is seen when it runs.
"""

import importlib.metadata
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from appliance.core.documents import parse_yaml
from appliance.core.errors import ConfigError
from pipelines.inputs import Form
from pipelines.manifest import FILE_NAME, Manifest
from pipelines.specs import Bundle, Numbers

_BACKGROUND = "background"
_LABELS = ("segmentation", "labels")
# How bundles call what DICOM calls Modality (PS3.3 C.7.3.1.1.1); others are not compared.
_MODALITIES = MappingProxyType({"CT": "CT", "MR": "MR", "MRI": "MR", "PT": "PT", "PET": "PT"})


class DataFormat(BaseModel):
    """One input or output of the network."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: str
    format: str = ""
    modality: str = ""
    num_channels: int = Field(ge=1)
    spatial_shape: tuple[int | str, ...]
    # Some bundles of the zoo call it label_def.
    channel_def: Mapping[int, str] = Field(
        default_factory=dict, validation_alias=AliasChoices("channel_def", "label_def")
    )


class NetworkDataFormat(BaseModel):
    """What goes into the network and what comes out of it, by key of the bundle's data."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    inputs: Mapping[str, DataFormat] = Field(min_length=1)
    outputs: Mapping[str, DataFormat] = Field(min_length=1)


class Metadata(BaseModel):
    """What is read of `metadata.json`; it has more."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    network_data_format: NetworkDataFormat
    required_packages_version: Mapping[str, str] = Field(default_factory=dict)
    optional_packages_version: Mapping[str, str] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What manifest and metadata say together.

    `feeds` has for each key of the bundle's data the names of our inputs, one for each channel;
    `modalities` what each input has to be, where the metadata tells it. `numbers` are those that
    a label map may hold beside 0.
    """

    feeds: Mapping[str, tuple[str, ...]]
    modalities: Mapping[str, str]
    output: str
    channels: int
    numbers: frozenset[int]
    optional: tuple[str, ...]  # packages that it may need and that are not installed


def agree(manifest: Manifest, bundle: Bundle, folder: Path) -> Agreement:
    """Read the bundle's metadata and compare. Raises ConfigError with every contradiction."""
    path = folder / bundle.metadata
    metadata = _read(path)
    formats = metadata.network_data_format
    own = folder / FILE_NAME
    feeds = bundle.inputs or _only_one(manifest, formats)
    output, told = next(iter(formats.outputs.items()))
    problems = [
        *(f"{path}:1: {text}" for text in _packages(metadata)),
        *(f"{path}:1: {text}" for text in _not_for_us(formats)),
        *(f"{own}:1: bundle.inputs: {text}" for text in _inputs(manifest, feeds, formats)),
        *(f"{own}:1: outputs: {text}" for text in _outputs(manifest, bundle, told)),
    ]
    if problems:
        raise ConfigError(*problems)
    return Agreement(
        feeds=feeds,
        modalities=_modalities(feeds, formats),
        output=output,
        channels=told.num_channels,
        numbers=frozenset(item.label for item in manifest.outputs) | frozenset(bundle.left_out),
        optional=tuple(missing(metadata.optional_packages_version)),
    )


def missing(packages: Mapping[str, str]) -> Iterator[str]:
    """Yield those of the packages that are not installed; which version is not asked."""
    for name in packages:
        try:
            importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            yield name


def _read(path: Path) -> Metadata:
    try:
        text = path.read_text(encoding="utf-8")
        data = json.loads(text) if path.suffix == ".json" else parse_yaml(text, str(path))[0]
        return Metadata.model_validate(data)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}:1: cannot be read: {error}") from None
    except ValidationError as error:
        raise ConfigError(
            *(
                f"{path}:1: {'.'.join(map(str, item['loc']))}: {item['msg']}"
                for item in error.errors(include_url=False)
            )
        ) from None


def _packages(metadata: Metadata) -> Iterator[str]:
    for name in missing(metadata.required_packages_version):
        version = metadata.required_packages_version[name]
        yield (
            f"required_packages_version: the bundle needs the package {name} ({version}), which is "
            "not installed; install it where the appliance runs"
        )


def _not_for_us(formats: NetworkDataFormat) -> Iterator[str]:
    if len(formats.outputs) > 1:
        yield f"the bundle has {len(formats.outputs)} outputs; one segmentation is read"
    for key, told in formats.outputs.items():
        if told.type != "image" or told.format not in _LABELS:
            yield (
                f"the output {key} is of type {told.type} and format {told.format}: this kind "
                "reads segmentations; what gives boxes, points or classes needs one of kind python"
            )
    for key, told in formats.inputs.items():
        if told.type != "image" or len(told.spatial_shape) != 3:
            yield (
                f"the input {key} is of type {told.type} with {len(told.spatial_shape)} spatial "
                "dimensions: this kind gives volumes, with three"
            )


def _only_one(manifest: Manifest, formats: NetworkDataFormat) -> Mapping[str, tuple[str, ...]]:
    if len(manifest.inputs) != 1 or len(formats.inputs) != 1:
        return {}
    return {next(iter(formats.inputs)): (manifest.inputs[0].name,)}


def _inputs(
    manifest: Manifest, feeds: Mapping[str, tuple[str, ...]], formats: NetworkDataFormat
) -> Iterator[str]:
    if not feeds:
        yield (
            f"missing; write which input is which of {', '.join(sorted(formats.inputs))}, the keys "
            "in metadata.json"
        )
        return
    names = [name for channels in feeds.values() for name in channels]
    known = {item.name: item for item in manifest.inputs}
    for name in names:
        if name not in known:
            yield f"there is no input {name}; known: {', '.join(sorted(known))}"
        elif not known[name].required:
            yield f"{name} is not required, but a bundle cannot do without; write required: true"
        elif known[name].form is not Form.VOLUME or known[name].split is not None:
            yield f"{name} is not one volume; a bundle takes series whole, without form and split"
    for name in sorted(known.keys() - set(names)):
        yield f"the input {name} goes nowhere; give it a key or leave it out"
    yield from _counts(feeds, formats)


def _counts(feeds: Mapping[str, tuple[str, ...]], formats: NetworkDataFormat) -> Iterator[str]:
    # A bundle may join several keys of its data to one image; then only the sum can be compared.
    shared = feeds.keys() & formats.inputs.keys()
    for key in sorted(shared):
        told = formats.inputs[key]
        if len(feeds[key]) != told.num_channels:
            channels = ", ".join(told.channel_def[number] for number in sorted(told.channel_def))
            yield (
                f"{key} has {told.num_channels} channels in metadata.json ({channels}); "
                f"{len(feeds[key])} given"
            )
    whole = sum(told.num_channels for told in formats.inputs.values())
    given = sum(len(channels) for channels in feeds.values())
    if shared and shared != formats.inputs.keys() | feeds.keys():
        yield f"has {', '.join(sorted(feeds))}; metadata.json {', '.join(sorted(formats.inputs))}"
    elif not shared and given != whole:
        yield f"the network takes {whole} channels by metadata.json; {given} given"


def _outputs(manifest: Manifest, bundle: Bundle, told: DataFormat) -> Iterator[str]:
    if not manifest.outputs:
        yield "missing; write which number is which structure"
    twice = sorted({item.label for item in manifest.outputs} & set(bundle.left_out))
    if twice:
        yield f"{_listed(twice)} also stand under bundle.left_out; keep one"
    if bundle.numbers is Numbers.OWN:
        return
    if _plain(told.channel_def.get(0, "")) != _BACKGROUND:
        yield (
            f"metadata.json calls channel 0 {told.channel_def.get(0, 'nothing')!r}, not "
            "'background', so channels are no class numbers; write `numbers: own` under bundle, "
            "and here the numbers that the bundle's postprocessing writes"
        )
        return
    yield from _classes(manifest, bundle, told)


def _classes(manifest: Manifest, bundle: Bundle, told: DataFormat) -> Iterator[str]:
    """Compare with channel_def, names too: a number that slipped would be another organ."""
    for item in manifest.outputs:
        name = told.channel_def.get(item.label)
        if name is None:
            yield (
                f"{item.name} has the label {item.label}, which metadata.json does not promise; "
                f"it has {_listed(told.channel_def)}"
            )
        elif _plain(name) != _plain(item.name):
            yield (
                f"label {item.label} is {name!r} in metadata.json and {item.name!r} here; "
                "call it as the bundle does"
            )
    known = {item.label for item in manifest.outputs} | set(bundle.left_out)
    silent = sorted(told.channel_def.keys() - known - {0})
    if silent:
        names = ", ".join(f"{number} {told.channel_def[number]}" for number in silent)
        yield f"nothing is said of {names}; map them or write bundle.left_out: {silent}"


def _modalities(
    feeds: Mapping[str, tuple[str, ...]], formats: NetworkDataFormat
) -> Mapping[str, str]:
    return {
        name: _MODALITIES[formats.inputs[key].modality.upper()]
        for key, names in feeds.items()
        for name in names
        if key in formats.inputs and formats.inputs[key].modality.upper() in _MODALITIES
    }


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name.casefold()).strip()


def _listed(numbers: object) -> str:
    return ", ".join(map(str, sorted(numbers)))  # type: ignore[call-overload]
