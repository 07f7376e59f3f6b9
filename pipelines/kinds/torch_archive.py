"""What is inside a PyTorch file, looked at before PyTorch reads it. Pure.

Files of torch.export and TorchScript are zip archives. An exported program may hold Python
pickles, compiled libraries, and text that its reader evaluates; each can run anything. None of
them is needed for a network: a file that has one is refused, and what is left is data.
"""

import io
import json
import pickle
import re
import zipfile
from collections.abc import Iterator
from enum import StrEnum

import torch
from torch.utils._sympy import functions

from appliance.core.errors import ConfigError


class Format(StrEnum):
    """What a file is."""

    EXPORTED = "exported program"
    TORCHSCRIPT = "TorchScript"


# Operators by name: tensors in, tensors out. The others of PyTorch's own are Python.
_OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims)\.\w+(\.\w+)?"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast|cond|while_loop)"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|neg|pow|eq|ne|lt|le|gt|ge|and_|or_|getitem)"
    r"|math\.(ceil|floor|trunc|sqrt)|torch\.(sym_\w+|_sym_\w+)"
)
_TOUCHES_FILES = ("from_file", "save", "load")

_GUARDED = re.compile(r"L(\['\w+'\]|\[\d+\])+\.(size|stride)\(\)\[\d+\]")
_TOKEN = re.compile(r"\s*('\w+'|\w+|[-+*/%(),=<>!])")
_NUMBER = re.compile(r"\d+")
_SYMBOL = re.compile(r"'?[suz]\d+'?")
_SYMPY = frozenset(
    {
        *("Symbol", "Integer", "Rational", "Float", "Add", "Mul", "Pow", "Max", "Min", "Mod"),
        *("Abs", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "floor", "ceiling"),
        *("positive", "nonnegative", "negative", "integer", "real", "True", "False", "true"),
        *("false", "int_oo", "oo", "precision", "and", "or", "not", "min", "max"),
        *functions.__all__,
    }
)


def examine(content: bytes, file: str) -> Format:
    """Return what a file is. Raises ConfigError where it cannot be, or must not be, loaded."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
        names = [name.partition("/")[2] for name in archive.namelist()]
        if "archive_format" in names:
            _examine_exported(archive, file)
            return Format.EXPORTED
    except (zipfile.BadZipFile, ValueError, KeyError, RecursionError) as error:
        raise ConfigError(f"{file}: is no PyTorch file that can be read: {error}") from error
    if "constants.pkl" in names and any(name.startswith("code/") for name in names):
        return Format.TORCHSCRIPT
    if "data.pkl" in names:
        raise ConfigError(
            f"{file}: is a Python object or weights alone (torch.save), which say nothing of the "
            "network without its Python; export it with torch.export.save"
        )
    raise ConfigError(
        f"{file}: is neither an exported program (torch.export.save) nor TorchScript "
        "(torch.jit.save) of a version that can be read; export it again"
    )


def _examine_exported(archive: zipfile.ZipFile, file: str) -> None:
    problems = [*_problems(archive)]
    if problems:
        raise ConfigError(*(f"{file}: {problem}; it is not loaded" for problem in problems))


def _problems(archive: zipfile.ZipFile) -> Iterator[str]:
    for name in archive.namelist():
        inner = name.partition("/")[2]
        if inner.startswith("data/aotinductor/"):
            yield f"holds compiled code ({inner}); export the program without compiling it"
        elif inner.startswith(("data/weights/", "data/constants/")):
            yield from _payload(archive, name, inner)
        elif inner.startswith("data/sample_inputs/"):
            yield from _sample_inputs(archive.read(name), inner)
        elif inner.startswith("models/"):
            yield from _program(json.loads(archive.read(name)))


def _payload(archive: zipfile.ZipFile, name: str, inner: str) -> Iterator[str]:
    if inner.endswith("_config.json"):
        config = json.loads(archive.read(name))["config"]
        for weight, entry in config.items():
            if entry["use_pickle"]:
                yield f"holds {weight} as a Python pickle; only plain tensors can be used"
    elif not re.fullmatch(r"data/(weights/weight|constants/tensor)_\d+", inner):
        yield f"holds {inner}, which is no plain tensor"


def _sample_inputs(content: bytes, inner: str) -> Iterator[str]:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
        yield f"holds {inner} as a Python pickle of more than tensors"


def _program(document: object) -> Iterator[str]:
    """Yield what a program's graph calls, or has evaluated, beyond operators on tensors."""
    if isinstance(document, list):
        for item in document:
            yield from _program(item)
    elif isinstance(document, dict):
        for key, value in document.items():
            if key == "guards_code":
                for guard in value:
                    if not _is_size(_GUARDED.sub("s0", str(guard))):
                        yield f"has a condition that is no arithmetic ({str(guard)[:80]!r})"
            elif key == "expr_str" and not _is_size(str(value)):
                yield f"has a size that is no arithmetic ({str(value)[:80]!r})"
            elif key == "target" and "inputs" in document and not _is_operator(str(value)):
                yield f"calls {str(value)[:80]!r}, which is no operator on tensors"
            else:
                yield from _program(value)


def _is_operator(target: str) -> bool:
    return bool(_OPERATOR.fullmatch(target)) and not any(
        part in _TOUCHES_FILES for part in target.split(".")
    )


def _is_size(text: str) -> bool:
    at = 0
    while at < len(text.rstrip()):
        token = _TOKEN.match(text, at)
        if token is None or not _is_allowed(token[1]):
            return False
        at = token.end()
    return True


def _is_allowed(token: str) -> bool:
    return (
        not re.match(r"['\w]", token)
        or bool(_NUMBER.fullmatch(token) or _SYMBOL.fullmatch(token))
        or token in _SYMPY
    )
