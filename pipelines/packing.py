"""Values of frozen dataclasses to JSON and back; arrays travel beside it as sealed memfds.

Nothing that arrives is ever executed, and nobody can change or shrink an array after it was sent.
"""

import dataclasses
import fcntl
import math
import mmap
import os
import types
import typing
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

SMALL_ARRAY = 64  # elements; up to here an array is written into the JSON
DTYPES = frozenset({"|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<f4", "<f8"})

_SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def pack(value: object, descriptors: list[int]) -> object:
    """Return `value` as JSON can hold it; arrays are appended to `descriptors` as memfds."""
    if value is None or isinstance(value, str | bool | int | float):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, np.ndarray):
        return _pack_array(value, descriptors)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: pack(getattr(value, name), descriptors) for name in names}
    if isinstance(value, Mapping):
        return {str(key): pack(item, descriptors) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [pack(item, descriptors) for item in value]
    raise TypeError(f"{type(value).__name__} cannot be sent")


def unpack(hint: Any, data: Any, descriptors: list[int]) -> object:  # noqa: ANN401
    """Return `data` as the type `hint` says. Raises ValueError, KeyError, TypeError."""
    origin = typing.get_origin(hint) or hint
    if origin in (types.UnionType, typing.Union):
        return _unpack_union(typing.get_args(hint), data, descriptors)
    if origin is np.ndarray:
        return _unpack_array(data, descriptors)
    if origin is tuple:
        return _unpack_tuple(typing.get_args(hint), data, descriptors)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        item_hint = typing.get_args(hint)[1]
        return {key: unpack(item_hint, item, descriptors) for key, item in data.items()}
    if dataclasses.is_dataclass(hint):
        return _unpack_dataclass(hint, data, descriptors)
    return _scalar(hint, data)


def _unpack_dataclass(hint: Any, data: Any, descriptors: list[int]) -> object:  # noqa: ANN401
    hints = typing.get_type_hints(hint)
    names = [field.name for field in dataclasses.fields(hint)]
    return hint(**{name: unpack(hints[name], data[name], descriptors) for name in names})


def _scalar(hint: Any, data: object) -> object:  # noqa: ANN401
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(data)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if hint is type(None) and data is None:
        return None
    if hint in (str, int, float, bool) and type(data) is hint:
        return data
    raise TypeError(f"{hint} expected, got {type(data).__name__}")


def _unpack_union(hints: tuple[Any, ...], data: object, descriptors: list[int]) -> object:
    if data is None and type(None) in hints:
        return None
    others = [hint for hint in hints if hint is not type(None)]
    if len(others) == 1:
        return unpack(others[0], data, descriptors)
    exact = [hint for hint in others if type(data) is hint]
    return _scalar(exact[0] if exact else float, data)


def _unpack_tuple(
    hints: tuple[Any, ...], data: list[object], descriptors: list[int]
) -> tuple[object, ...]:
    if len(hints) == 2 and hints[1] is Ellipsis:
        return tuple(unpack(hints[0], item, descriptors) for item in data)
    return tuple(unpack(h, item, descriptors) for h, item in zip(hints, data, strict=True))


# -- arrays -----------------------------------------------------------------------------------


def _pack_array(array: Array, descriptors: list[int]) -> dict[str, object]:
    if array.dtype.str not in DTYPES:
        raise TypeError(f"an array of {array.dtype} cannot be sent")
    head: dict[str, object] = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.size <= SMALL_ARRAY:
        return head | {"values": array.ravel().tolist()}
    descriptors.append(sealed_memory(array))
    return head | {"descriptor": len(descriptors) - 1}


def sealed_memory(array: Array) -> int:
    """Return a memfd with the array's bytes in C order that nobody can change any more."""
    descriptor = os.memfd_create("array", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = np.ascontiguousarray(array).data.cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unpack_array(data: Mapping[str, Any], descriptors: list[int]) -> Array:
    if data["dtype"] not in DTYPES:
        raise ValueError(f"an array of {data['dtype']} is not allowed")
    dtype = np.dtype(data["dtype"])
    shape = tuple(int(length) for length in data["shape"])
    if "values" in data:
        return np.array(data["values"], dtype=dtype).reshape(shape)
    memory = _map(descriptors[data["descriptor"]], math.prod(shape) * dtype.itemsize)
    return np.frombuffer(memory, dtype=dtype).reshape(shape)


def _map(descriptor: int, size: int) -> mmap.mmap:
    """Return the memfd's memory, copied on write. Raises ValueError where it is not as sealed.

    Private, because Linux before 6.7 refuses a shared mapping of write-sealed memory.
    """
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS != _SEALS:
        raise ValueError("the array's memory is not sealed")
    if os.fstat(descriptor).st_size != size:
        raise ValueError("the array's memory has another size than its shape")
    return mmap.mmap(descriptor, size, access=mmap.ACCESS_COPY)
