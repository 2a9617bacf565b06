"""Wheels of one small module."""

from __future__ import annotations

import zipfile
from pathlib import Path


def wheel(folder: Path, name: str, version: str = "1.0") -> Path:
    """A package of one module, which says its version."""
    folder.mkdir(exist_ok=True)
    about, file = f"{name}-{version}.dist-info", folder / f"{name}-{version}-py3-none-any.whl"
    texts = {
        f"{name}.py": f"version = {version!r}\n",
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    texts[f"{about}/RECORD"] = "".join(f"{one},,\n" for one in (*texts, f"{about}/RECORD"))
    with zipfile.ZipFile(file, "w") as archive:
        for one, text in texts.items():
            archive.writestr(one, text)
    return file
