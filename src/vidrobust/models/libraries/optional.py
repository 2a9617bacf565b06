"""Libraries that only some models need."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from vidrobust.errors import MissingExtraError


def library(name: str, extra: str) -> ModuleType:
    """A module of a library that may not be installed.

    Raises:
        MissingExtraError: it is not, or it does not work with what is installed beside it.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what others' modules do on import, the user can mend nothing
            return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(name.partition(".")[0], extra, "this model", str(error)) from error
