"""One run of an outside program, from the images to what it says."""

import shutil
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from appliance.core.errors import (
    InputRefused,
    PermanentPipelineError,
    PipelineError,
    TransientPipelineError,
)
from appliance.core.model import Feature, Finding, PipelineResult
from appliance.core.processes import adopt_orphans
from pipelines.base import MadeObjects, Pipeline, PipelineInput, PipelineOutput
from pipelines.command_spec import Command, Convention, Exit
from pipelines.findings import Said, describe, parts_of
from pipelines.kinds.command.conventions import Places, environment, write_task
from pipelines.kinds.command.inputs import read_header, write_inputs
from pipelines.kinds.command.numbers import Numbers
from pipelines.kinds.command.outputs import Outputs, has_entries, spoken
from pipelines.kinds.command.program import Ended, run
from pipelines.manifest import Manifest
from pipelines.personal import personal_values, personal_values_of, without
from pipelines.volume import LabelMap

_READY, _RAN = 0.05, 0.95  # of a run's progress
_ERRORS: Mapping[Exit, type[PipelineError]] = {
    Exit.RETRY: TransientPipelineError,
    Exit.REFUSED: InputRefused,
}


def build(manifest: Manifest, folder: Path) -> Pipeline:
    """Return the pipeline; its program is looked for when it is loaded."""
    return CommandPipeline(manifest, folder)


class CommandPipeline:
    """An outside program behind the interface of a pipeline. Nothing of it stays warm."""

    def __init__(self, manifest: Manifest, folder: Path) -> None:
        self._manifest = manifest
        self._folder = folder
        self._device = ""

    @property
    def _command(self) -> Command:
        assert self._manifest.command is not None  # noqa: S101, the manifest's own rule
        return self._manifest.command

    def load(self, device: str) -> None:
        """Find the program. Raises PermanentPipelineError where it is not there."""
        adopt_orphans()
        self._device = device
        first = self._command.arguments[0]
        if "{" not in first:
            self._program(first)

    def infer(self, study: PipelineInput) -> PipelineOutput:
        """Run the program on the study and return what it says. Raises PipelineErrors."""
        places = Places.make(study.scratch, self._folder)
        clean = partial(without, self._secrets(study))
        write_inputs(study, places.input, self._command.input, self._command.convention)
        if self._command.convention is Convention.MERCURE:
            header = read_header(next(iter(study.files.values()))[0])
            write_task(places, self._manifest.name, header, study.parameters)
        study.progress(_READY, "run")
        ended = self._run(study, places, clean)
        study.progress(_RAN, "output")
        if ended.code != 0:
            raise self._failed(ended, places)
        try:
            return self._output(study, Outputs(places.output, self._command.output_size), clean)
        except PermanentPipelineError as error:
            words = f"; it last wrote: {ended.last_words}" if ended.last_words else ""
            raise PermanentPipelineError(f"{self._name}: {error}{words}") from None

    # -- the program ----------------------------------------------------------------------

    @property
    def _name(self) -> str:
        return f"the program of {self._manifest.name}"

    def _program(self, first: str) -> str:
        """Return where the program is: a path in the pipeline's folder, or a name on the PATH."""
        if "/" in first:
            path = self._folder.resolve() / first
            if path.is_file():
                return str(path)
            raise PermanentPipelineError(f"{self._name}: {path} is not there")
        found = shutil.which(first)
        if found is None:
            raise PermanentPipelineError(
                f"{self._name}: {first} is not installed on this machine, or not on the PATH"
            )
        return found

    def _run(self, study: PipelineInput, places: Places, clean: Callable[[str], str]) -> Ended:
        command = self._command
        fill_in = partial(places.fill_in, python=sys.executable, parameters=study.parameters)
        first, *rest = (fill_in(argument) for argument in command.arguments)
        added = {name: fill_in(text) for name, text in command.environment.items()}
        return run(
            [self._program(first), *rest],
            folder=places.work,
            environment={**environment(places, command.convention, self._device), **added},
            clean=clean,
            watch=partial(self._watch, study),
        )

    def _watch(self, study: PipelineInput) -> None:
        """Tell that the run goes on, where nobody could see it otherwise."""
        if self._manifest.isolates_itself:
            # What works then is another program's child, often: its CPU time is not seen here.
            study.progress(_READY, "run")

    def _failed(self, ended: Ended, places: Places) -> PipelineError:
        text = f"{self._name} {ended.in_words}"
        if has_entries(places.output):
            text += "; nothing of what it had written by then was used"
        if ended.last_words:
            text += f"; it last wrote: {ended.last_words}"
        if ended.code < 0:
            return TransientPipelineError(text)  # by the kernel or a person, as a rule
        meaning = self._command.exits.get(ended.code)
        return PermanentPipelineError(text) if meaning is None else _ERRORS[meaning](text)

    def _secrets(self, study: PipelineInput) -> frozenset[str]:
        headers = (read_header(files[0]) for files in study.files.values())
        found = [personal_values_of(header) for header in headers]
        return personal_values(study.volumes.values()).union(*found)

    # -- what it says ---------------------------------------------------------------------

    def _output(
        self, study: PipelineInput, outputs: Outputs, clean: Callable[[str], str]
    ) -> PipelineOutput:
        said, label_map = self._labels(study, outputs)
        findings: tuple[Finding, ...] = () if said is None else said.findings
        notes: tuple[str, ...] = ()
        features: tuple[Feature, ...] = ()
        spec = self._command.numbers
        if spec is not None:
            name = outputs.one(spec.file)
            numbers = Numbers(spec, spoken(name), outputs.read(name))
            findings = numbers.findings(findings, self._manifest.outputs, study.run_uid)
            notes = tuple(numbers.notes(clean))
            features = tuple(numbers.features(clean))
        result = PipelineResult(
            findings=findings,
            segments=() if said is None else said.segments,
            features=features,
            notes=notes,
        )
        return PipelineOutput(result=result, label_map=label_map, made=self._made(outputs))

    def _labels(
        self, study: PipelineInput, outputs: Outputs
    ) -> tuple[Said | None, LabelMap | None]:
        spec = self._command.labels
        if spec is None:
            return None, None
        name = spec.input or self._manifest.inputs[0].name
        if name not in study.volumes:
            raise PermanentPipelineError(f"its label map lies on {name}, which was not given")
        # It imports PyTorch, which takes a second: programs without a label map never pay it.
        from pipelines.kinds.command.labels import read_labels  # noqa: PLC0415

        volume, structures = study.volumes[name], self._manifest.outputs
        labels = read_labels(outputs.path(outputs.one(spec.file)), volume, structures)
        said = describe(parts_of(labels, structures), structures, volume, study.run_uid)
        return said, LabelMap(array=said.label_map, input_name=name)

    def _made(self, outputs: Outputs) -> MadeObjects | None:
        if not self._command.adopt:
            return None
        files = list(outputs.dicom())
        if files:
            return MadeObjects.of(files)
        if self._command.no_objects == "failed":
            raise PermanentPipelineError(
                f"it wrote {len(outputs)} files and no DICOM object among them (if it writes none "
                "where it finds nothing, say so in the manifest: no_objects: nothing-found)"
            )
        return None
