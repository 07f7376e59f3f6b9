"""A MONAI bundle's own inference workflow, run as it was published, its network kept.

The configuration is parsed anew for every run, which takes some hundredths of a second: no state
of an earlier run is left, whatever became of it. Only the network stays, with its weights.

What is set differently from the file, and nothing else:

- `bundle_root`, `device`, `dataset_dir`, `output_dir` and the dataset's `data`: where things are;
- each `CheckpointLoader` loads once, on our device, and only what the manifest has a hash of;
- data loaders start no processes of their own, for one image;
- `SaveImaged` writes nothing: its input is the result;
- mixed precision is off on a CPU, where it does nothing but warn.
"""

import contextlib
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from monai.bundle import ComponentLocator, ConfigParser
from monai.data import MetaTensor
from monai.engines.utils import IterationEvents
from monai.handlers import CheckpointLoader

from appliance.core.errors import ConfigError, PermanentPipelineError
from pipelines.kinds.bundle_watch import Watch

# What reading a configuration, its code or an image may raise; our own errors are none of these.
FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
)
_RUNS = ("run", "evaluating", "inference")  # how bundles call what runs them, newest first
_NEEDED = ("network_def", "evaluator", "dataset::data")
_SAVERS = ("SaveImaged", "SaveImageD", "SaveImageDict")
_LOADERS = ("DataLoader", "ThreadDataLoader")
_OF_WORKERS = ("prefetch_factor", "persistent_workers", "multiprocessing_context")

Item = Mapping[str, Path | list[Path]]


class Workflow:
    """One bundle on one device."""

    def __init__(self, config: Path, metadata: Path, device: str, listed: frozenset[Path]) -> None:
        """`listed` are the weight files whose hashes the manifest has, resolved."""
        self._config = config
        self._metadata = metadata
        self._root = config.parent.parent.resolve()
        self._device = torch.device(device)
        self._listed = listed
        self._network: Any = None
        self._locator = ComponentLocator()  # has looked through MONAI once, for all runs

    def load(self) -> None:
        """Make the network and load its weights. Raises ConfigError and what the bundle raises."""
        if str(self._root) not in sys.path:
            sys.path.insert(0, str(self._root))  # a bundle's own code is its package `scripts`
        parser = self._parsed()
        missing = [key for key in _NEEDED if key not in parser]
        if missing or not any(key in parser for key in _RUNS):
            raise ConfigError(
                f"{self._config}:1: has no {', '.join(missing) or 'run'}; a bundle's configuration "
                "for inference has network_def, dataset with data, evaluator and run"
            )
        loaders = list(_components(parser.config, ("CheckpointLoader",)))
        for _, component in loaders:
            component["map_location"] = self._device
        with only_tensors():
            for key, _ in loaders:
                self._load_weights(key, parser.get_parsed_content(key))
            self._network = parser.get_parsed_content("network_def")
            if isinstance(self._network, torch.nn.Module):
                self._network.to(self._device)

    def _load_weights(self, key: str, loader: CheckpointLoader | None) -> None:
        if loader is None:
            raise ConfigError(
                f"{self._config}:1: {key}: is disabled, so the network would keep the weights that "
                "it was made with, at random; see that its checkpoint is where it looks for it"
            )
        path = Path(loader.load_path)
        if path.resolve() not in self._listed:
            raise ConfigError(
                f"{self._config}:1: {key}: loads {path}, which has no SHA-256 in pipeline.yaml; "
                "list it under weights, or put it where the bundle looks for it"
            )
        loader(Engine(lambda _engine, _batch: None))

    def run(self, item: Item, scratch: Path, output: str, watch: Watch) -> MetaTensor:
        """Return what the workflow leaves under the key `output` for one item of its data.

        Shape (channels, i, j, k), on the CPU. Raises what the bundle raises.
        """
        parser = self._parsed()
        parser["dataset_dir"] = parser["output_dir"] = str(scratch)
        parser["dataset::data"] = [dict(item)]
        parser["network_def"] = self._network
        for _, component in list(_components(parser.config, ("CheckpointLoader",))):
            component.clear()
            component["_target_"] = _Loaded
        left: list[Any] = []
        with only_tensors(), watch.over(self._network):
            _evaluate(parser, "initialize")
            evaluator = parser.get_parsed_content("evaluator")
            _listen(evaluator, watch, left.append)
            try:
                for key in _RUNS:
                    _evaluate(parser, key)
                return _only(left, output)
            finally:
                # The engine and its handlers hold one another, and the collector comes late: the
                # images that they hold, on a GPU perhaps, shall not wait for it.
                evaluator.state.batch = evaluator.state.output = None
                left.clear()

    def _parsed(self) -> ConfigParser:
        parser = ConfigParser()
        parser.locator = self._locator
        parser.read_config(str(self._config))
        # Not by read_meta: that renames, and warns of, what most bundles of the zoo write.
        parser[parser.meta_key] = ConfigParser.load_config_file(str(self._metadata))
        parser["bundle_root"] = str(self._root)
        parser["device"] = self._device
        for _, component in _components(parser.config, _SAVERS):
            component["_disabled_"] = True
        for _, component in _components(parser.config, _LOADERS):
            component["num_workers"] = 0
            for key in _OF_WORKERS:
                component.pop(key, None)
        if self._device.type == "cpu" and "evaluator::amp" in parser:
            parser["evaluator::amp"] = False
        return parser


class _Loaded:
    """Takes a CheckpointLoader's place once it has loaded."""

    def attach(self, engine: Engine) -> None:
        """Listen to nothing."""

    def __call__(self, engine: Engine) -> None:
        """Load nothing."""


def _components(
    config: object, names: Sequence[str], key: str = ""
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each component whose `_target_` is one of the names, with its ID."""
    if isinstance(config, dict):
        target = config.get("_target_")
        if isinstance(target, str) and target.rpartition(".")[2] in names:
            yield key, config
        children: list[tuple[Any, Any]] = list(config.items())
    else:
        children = list(enumerate(config)) if isinstance(config, list) else []
    for name, child in children:
        yield from _components(child, names, f"{key}::{name}" if key else str(name))


def _evaluate(parser: ConfigParser, key: str) -> None:
    """Evaluate an expression, or each of a list, if the configuration has it."""
    if key not in parser:
        return
    if isinstance(parser[key], list):
        for number in range(len(parser[key])):
            parser.get_parsed_content(f"{key}::{number}")
    else:
        parser.get_parsed_content(key)


def _listen(evaluator: object, watch: Watch, keep: Callable[[Any], None]) -> None:
    if not isinstance(evaluator, Engine):
        raise PermanentPipelineError(
            f"the bundle's evaluator is a {type(evaluator).__name__}, not an engine of MONAI's"
        )
    evaluator.add_event_handler(Events.ITERATION_STARTED, watch.started)
    evaluator.add_event_handler(IterationEvents.FORWARD_COMPLETED, watch.finished)
    evaluator.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: keep(engine.state.output)
    )


def _only(outputs: list[Any], key: str) -> MetaTensor:
    """Return the one prediction of the one image, without a batch's axis."""
    output = outputs[-1] if len(outputs) == 1 else None
    if isinstance(output, list) and len(output) == 1:
        output = output[0]
    prediction = output.get(key) if isinstance(output, dict) else None
    if not isinstance(prediction, MetaTensor):
        raise PermanentPipelineError(
            f"the bundle left {'a plain tensor' if torch.is_tensor(prediction) else 'nothing'} "
            f"under the key {key!r}, where a prediction with its affine is needed"
        )
    if prediction.ndim == 5 and prediction.shape[0] == 1:
        prediction = prediction[0]
    return prediction.detach().cpu()


@contextlib.contextmanager
def only_tensors() -> Iterator[None]:
    """Let torch read no pickle that needs more than tensors, whatever the bundle asks for."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def root_cause(error: BaseException) -> BaseException:
    """Return what was raised first; MONAI wraps it several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
