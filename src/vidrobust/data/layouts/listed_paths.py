"""Resolving the paths of a list: relative to one of several folders, or absolute, always within the data set."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from vidrobust.data.layouts.files import folders, holds_frames, is_video_file
from vidrobust.data.videos import CONTROL_CHARACTERS, check_link

PROBED = 20
"""Paths looked at to find the folder that they are relative to."""

_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")


class ListedPaths:
    """What the paths of a list lead to.

    Args:
        root: the data set's folder.
        base: what they are relative to.
    """

    def __init__(self, root: Path, base: Path) -> None:
        self.root = root
        self._starts = tuple(f"{start}/" for start in {str(root.absolute()), str(root.resolve())})
        self._prefix = os.path.relpath(base.absolute(), root.absolute())
        self._real: dict[str, bool] = {}
        self._stems: dict[str, dict[str, list[str]]] = {}

    @classmethod
    def of(cls, root: Path, place: Path, names: Iterable[str]) -> ListedPaths:
        """Those of a list in a folder: relative to that, to the data set's, or to one within it, where some are."""
        names = list(names)[:PROBED]
        for base in (place, root, *folders(root)):
            found = cls(root, base)
            if any(found.there(found.relative(name)) for name in names):
                return found
        return cls(root, place)

    def relative(self, name: str) -> str:
        """A path as it stands in the list, relative to the root; empty if it leads out of it or can be no path."""
        try:
            name.encode()
        except UnicodeEncodeError:  # half a character, by an escape in JSON
            return ""
        if CONTROL_CHARACTERS.search(name) or _DRIVE.match(name):
            return ""
        if "\\" in name and not self.there(self._joined(name)):
            name = name.replace("\\", "/")
        return self._joined(name)

    def _joined(self, name: str) -> str:
        start = next((start for start in self._starts if name.startswith(start)), None)
        if start is None and name.startswith("/"):
            return ""
        path = posixpath.normpath(posixpath.join(self._prefix, name) if start is None else name[len(start) :])
        return "" if path in (".", "..") or path.startswith(("../", "/")) else path

    def there(self, path: str) -> str:
        """What there is of a path: itself, or a folder of frames that stands for a video file; empty if nothing.

        A path without the suffix of a video is that of the one video file in its folder that is called so.
        """
        if not path:
            return ""
        if os.path.exists(os.path.join(self.root, path)):  # noqa: PTH110, PTH118  (for a list of a million paths)
            return path
        folder = PurePosixPath(path).with_suffix("")
        if (self.root / folder).is_dir() and holds_frames(self.root / folder):
            return folder.as_posix()
        return "" if is_video_file(PurePosixPath(path)) else self._suffixed(path)

    def _suffixed(self, path: str) -> str:
        folder, name = posixpath.split(path)
        if folder not in self._stems:
            place, self._stems[folder] = self.root / folder, {}
            for file in filter(is_video_file, place.iterdir() if place.is_dir() else ()):
                self._stems[folder].setdefault(file.stem, []).append(file.name)
        found = self._stems[folder].get(name, [])
        return posixpath.join(folder, found[0]) if len(found) == 1 else ""

    def check_link(self, path: str) -> None:
        """See :func:`vidrobust.data.videos.check_link`; what lies in one folder is followed once.

        Raises:
            DataError: the path leads out by a link.
        """
        folder = posixpath.dirname(path)
        if folder not in self._real:
            check_link(self.root, self.root / folder)
            self._real[folder] = True
        if os.path.islink(os.path.join(self.root, path)):  # noqa: PTH114, PTH118
            check_link(self.root, self.root / path)
