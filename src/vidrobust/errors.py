"""What went wrong and what to do about it: the errors that users meet.

Every error a user can cause derives from :class:`VidrobustError`. Its message names the file or the value and
ends with the remedy; the command line prints it without a traceback and exits with a code other than 0.
"""

from __future__ import annotations


class VidrobustError(Exception):
    """Base of all errors that a user can mend."""


class DataError(VidrobustError):
    """A data set, a split list or a class folder is not as it must be."""


class DecodeError(DataError):
    """A video file cannot be read: unreadable, empty, truncated or without a video stream.

    Attributes:
        outcome: that in a word or two, as the report of ``vidrobust data check`` counts it.
    """

    def __init__(self, message: str, outcome: str = "undecodable") -> None:
        super().__init__(message)
        self.outcome = outcome


class InputError(VidrobustError, ValueError):
    """A tensor or a number handed to the library is out of range, of the wrong shape or of the wrong type."""


class MissingExtraError(InputError):
    """An optional library is asked for and not installed.

    Attributes:
        library: its name.
        extra: the extra of this package that installs it.
    """

    def __init__(self, library: str, extra: str, what: str = "this", why: str = "") -> None:
        super().__init__(library, extra, what, why)  # so that it passes from one process to another
        self.library, self.extra, self._what, self._why = library, extra, what, why

    def __str__(self) -> str:
        needed = f"{self.library} ({self._why})" if self._why else self.library
        return f'{self._what} needs {needed}, which is not installed: pip install "vidrobust[{self.extra}]".'


class NotationError(VidrobustError, ValueError):
    """A policy or an attack written as text does not parse; the message points at the character."""


class RunError(VidrobustError):
    """A run directory is missing, damaged or made by another version or configuration."""


class UsageError(VidrobustError):
    """The command line itself is wrong: no such option, a value of the wrong type, a missing argument."""


class StoppedError(VidrobustError):
    """A run was asked to end, and has saved what the same command goes on from."""


class VidrobustWarning(UserWarning):
    """What was done in a way that the user should know of: a head replaced, a convention guessed."""
