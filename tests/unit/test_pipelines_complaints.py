"""What a child tells of an exception decides what is tried next."""

import errno

import pytest
import torch

from appliance.core.errors import (
    ApplianceError,
    InputRefused,
    PermanentPipelineError,
    TransientPipelineError,
)
from pipelines.complaints import is_gpu_full, told, unexpected
from pipelines.device import GpuFull
from pipelines.sandbox.enclosure import NOT_ISOLATED, Isolation
from pipelines.wire import Failed, as_error

ENCLOSED = Isolation(parts=("landlock",), lacking={})


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (torch.OutOfMemoryError("Tried to allocate 20.00 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"), True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 4096"), True),
        (RuntimeError("the size of tensor a must match that of tensor b"), False),
        (ValueError("CUDA out of memory"), False),  # a text that somebody quotes
        (MemoryError(), False),
    ],
)
def test_a_full_gpu_is_known_by_what_the_libraries_raise(error: Exception, is_full: bool) -> None:
    assert is_gpu_full(error) is is_full
    message = unexpected(error, None, ENCLOSED)
    assert message.is_gpu_full is is_full
    assert message.ends


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def test_a_full_gpu_is_seen_through_an_error_of_ours() -> None:
    wrapped = caused(PermanentPipelineError("the model failed"), torch.OutOfMemoryError("20 GiB"))
    assert isinstance(wrapped, ApplianceError)
    message = told(wrapped)
    assert (message.is_gpu_full, message.ends, message.text) == (True, True, "the model failed")


def test_a_device_that_others_hold_tells_how_much_is_lacking() -> None:
    message = told(GpuFull("it needs 6 GB", 2 * 10**9), ends=True)
    assert (message.is_gpu_full, message.gpu_lacking) == (True, 2 * 10**9)
    assert type(as_error(message)) is TransientPipelineError


def test_an_error_of_the_tree_goes_as_it_is() -> None:
    assert told(InputRefused("a knee")) == Failed(error="InputRefused", text="a knee", ends=False)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_isolation_forbids_is_said_only_of_a_process_that_is_isolated(code: int) -> None:
    error = OSError(code, "no")
    assert "isolation forbids" in unexpected(error, None, ENCLOSED).text
    assert "isolation" not in unexpected(error, None, NOT_ISOLATED).text
    assert "isolation" not in unexpected(OSError(errno.ENOENT, "no"), None, ENCLOSED).text


def test_main_memory_is_worth_another_attempt_on_the_same_device() -> None:
    message = unexpected(MemoryError(), None, ENCLOSED)
    assert (message.error, message.is_gpu_full) == ("TransientPipelineError", False)
