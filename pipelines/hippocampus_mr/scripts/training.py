"""What `configs/train.yaml` needs beyond MONAI: bfloat16 on a CPU, and a line an epoch."""

import time
from collections.abc import Callable

import torch
from ignite.engine import Engine, Events


class Bfloat16Inferer:
    """Run the network in bfloat16 where that is faster, and hand its logits on as float32.

    MONAI's own mixed precision is for CUDA alone. Weights and their updates stay float32.
    """

    def __call__(
        self,
        inputs: torch.Tensor,
        network: Callable[..., torch.Tensor],
        *args: object,
        **kwargs: object,
    ) -> torch.Tensor:
        """Return the logits of `inputs`, both (batch, channel, x, y, z)."""
        batch = inputs.contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(batch.device.type, torch.bfloat16):
            logits = network(batch, *args, **kwargs)
        return logits.float()


class ProgressHandler:
    """Print one line an epoch: how far, the mean loss, how long it still takes."""

    def __init__(self) -> None:
        self._started = 0.0
        self._losses: list[float] = []

    def attach(self, engine: Engine) -> None:
        """Listen to `engine`, a MONAI trainer."""
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._note)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._say)

    def _start(self, _: Engine) -> None:
        self._started = time.monotonic()

    def _note(self, engine: Engine) -> None:
        self._losses.append(engine.state.output["loss"].item())

    def _say(self, engine: Engine) -> None:
        done, whole = engine.state.epoch, engine.state.max_epochs
        spent = time.monotonic() - self._started
        loss = sum(self._losses) / len(self._losses)
        self._losses.clear()
        left = spent / done * (whole - done)
        print(f"epoch {done}/{whole}  loss {loss:.4f}  {left / 60:.1f} min left", flush=True)
