"""The decoders behind one signature: PyAV, and torchcodec if it is installed."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from vidrobust.errors import DataError, InputError

DECODERS = ("pyav", "torchcodec")


def decoder(name: str) -> Callable[..., Any]:
    """A function of video, fit, most frames, what to do with damage, and buffer, like :func:`decode.decode_video`.

    Raises:
        InputError: there is no decoder of that name.
        DataError: torchcodec is asked for and not installed, or lacks FFmpeg's libraries.
    """
    if name == "pyav":
        from vidrobust.data.decoding.decode import decode_video

        return decode_video
    if name == "torchcodec":
        try:
            import_module("torchcodec.decoders")
        except (ImportError, OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(
                f'torchcodec cannot be used ({reason}). Run pip install "vidrobust[torchcodec]", and install FFmpeg\'s '
                "libraries, or use the decoder pyav."
            ) from error
        from vidrobust.data.decoding.torchcodec_decode import decode_by_torchcodec as with_torchcodec

        return with_torchcodec
    raise InputError(f"decoder must be one of {', '.join(DECODERS)}, not {name!r}.")
