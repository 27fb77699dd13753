"""The wording of refusals: what was wrong, what was expected, what was received."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any


def mismatch(what: str, expected: object, received: object) -> ValueError:
    """Return a ``ValueError`` that names the thing, what was expected of it and what was received."""
    return ValueError(f"{what}: expected {expected}, received {received}")


def one_of(what: str, value: Any, known: Iterable[Any]) -> Any:
    """Return ``value`` if it is one of ``known``; raise the ``ValueError`` that lists the known ones if not."""
    choices = list(known)
    if value in choices:
        return value
    raise mismatch(what, "one of " + ", ".join(str(c) for c in choices), repr(value))


def check_positive(what: str, holder: object, names: Iterable[str]) -> None:
    """Raise ``ValueError`` for the first of the attributes ``names`` of ``holder`` that is not above zero."""
    for name in names:
        if getattr(holder, name) <= 0:
            raise mismatch(f"{what} {name}", "a positive number", getattr(holder, name))


class MissingExtraError(ImportError):
    """An optional dependency is not installed; the message is one line with the command that installs it."""


def require(module: str, extra: str) -> ModuleType:
    """Import ``module``, which the optional dependency group ``extra`` brings.

    Raises:
        MissingExtraError: it is not installed; the message names the command that adds it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module of ours, or a broken install of the dependency itself, must not be reported as a missing extra.
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise MissingExtraError(
            f"{module.split('.')[0]} is not installed; add it with: pip install 'smoothnet[{extra}]'"
        ) from None
