"""A deck's script: Markdown whose ``{{…}}`` stand for what a run measured.

Slides are parted by a line ``---``; what follows a line ``Note:`` is for the speaker. A ``{{…}}`` on a line of its own
is a figure, a table or a formula; inside a line it is a value.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from vidrobust.errors import InputError
from vidrobust.results.pages.markup import Html

Block = Callable[[str], Html]
"""What a directive becomes, from the words after its name."""

_PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
}
_ALONE = re.compile(r"^\s*\{\{\s*([\w-]+)\s*(.*?)\s*\}\}\s*$")
_INLINE = re.compile(r"\{\{\s*([\w-]+)\s*\}\}")


@dataclass(frozen=True)
class Slide:
    """One slide of a script."""

    line: int
    """Where it begins."""
    text: str
    note: str = ""


def split(script: str) -> list[Slide]:
    r"""The slides of a script.

    >>> [(slide.line, slide.text, slide.note) for slide in split("# One\n\nNote:\nSlowly.\n---\n# Two")]
    [(1, '# One', 'Slowly.'), (6, '# Two', '')]
    """
    slides, begin, lines, fenced = [], 1, [], False
    for number, line in enumerate([*script.splitlines(), "---"], start=1):
        fenced ^= line.lstrip().startswith("```")
        if line.strip() == "---" and (not fenced or number > len(script.splitlines())):
            text, _, note = "\n".join(lines).partition("\nNote:")
            if text.strip():
                slides.append(Slide(begin, text.strip("\n"), note.strip()))
            begin, lines = number + 1, []
        else:
            lines.append(line)
    return slides


class Writer:
    """Slides to markup.

    Args:
        blocks: what may stand on a line of its own, by name.
        values: what may stand inside a line, by name; any text.
        folder: where the pictures of the script lie.
    """

    def __init__(self, blocks: Mapping[str, Block], values: Mapping[str, str], folder: Path | None = None) -> None:
        from markdown_it import MarkdownIt

        self.blocks, self.values, self.folder = blocks, values, folder
        self._markdown: Any = MarkdownIt("commonmark", {"html": False}).enable("table")
        self._markdown.add_render_rule("image", lambda renderer, tokens, at, *rest: self._picture(tokens[at]))

    def section(self, slide: Slide) -> str:
        """A slide as an element of the deck.

        Raises:
            InputError: it asks for something that there is not.
        """
        found = re.match(r"\s*\{\{\s*class\s+([\w -]+?)\s*\}\}\s*\n", slide.text + "\n")
        kind = f' class="{escape(found[1])}"' if found else ""
        body = "\n".join(self._pieces(slide))
        note = f'<aside class="notes">{self._words(slide.note, slide)}</aside>' if slide.note else ""
        return f"<section{kind}>\n{body}\n{note}</section>"

    def _pieces(self, slide: Slide) -> Iterator[str]:
        words: list[str] = []
        for line in slide.text.splitlines():
            alone = _ALONE.match(line)
            if not alone or alone[1] in self.values:
                words.append(line)
                continue
            yield self._words("\n".join(words), slide)
            words = []
            if alone[1] != "class":
                yield self._block(alone[1], alone[2], slide)
        yield self._words("\n".join(words), slide)

    def _block(self, name: str, arguments: str, slide: Slide) -> str:
        if name not in self.blocks:
            known = ", ".join(sorted([*self.blocks, *self.values, "class"]))
            raise InputError(f"the slide at line {slide.line} asks for {{{{{name}}}}}. There is: {known}.")
        return self.blocks[name](arguments)

    def _words(self, text: str, slide: Slide) -> str:
        def value(found: re.Match[str]) -> str:
            if found[1] not in self.values:
                return self._block(found[1], "", slide)  # refuses it by name
            return re.sub(r"([\\`*_{}\[\]()#+.!|<>&~-])", r"\\\1", self.values[found[1]])  # a name is never markup

        if any(found[1] in self.blocks for found in _INLINE.finditer(text)):
            raise InputError(
                f"the slide at line {slide.line} has a figure or table inside a line: give it its own line."
            )
        return self._markdown.render(_INLINE.sub(value, text))

    def _picture(self, token: Any) -> str:
        """A picture beside the script, put into the deck; nothing is fetched from elsewhere."""
        name, words = token.attrs["src"], token.content
        folder = (self.folder or Path()).resolve()
        path = (folder / name).resolve()
        if path.suffix.lower() not in _PICTURES or not path.is_relative_to(folder) or not path.is_file():
            kinds = ", ".join(sorted(_PICTURES))
            raise InputError(f"the picture {name} is not a file ({kinds}) in the folder of the script, {folder}.")
        data = base64.b64encode(path.read_bytes()).decode()
        return f'<img alt="{escape(words)}" src="data:{_PICTURES[path.suffix.lower()]};base64,{data}">'
