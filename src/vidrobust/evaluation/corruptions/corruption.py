"""A corruption as a value: one kind of one convention at one severity, applied to clips with a seed each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vidrobust.errors import InputError
from vidrobust.evaluation.corruptions.conventions import CONVENTIONS
from vidrobust.evaluation.corruptions.kinds import ClipDraws, CorruptionKind
from vidrobust.notation.corruption_text import SEVERITIES, AskedCorruptions, read_corruptions

if TYPE_CHECKING:
    from vidrobust.types import ClipTensor


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption of a published convention, at one of its severities.

    Args:
        convention: ``minikinetics-c`` (Yi et al., NeurIPS 2021), ``ucf101-p`` (Schiappa et al., CVPR 2023) or
            ``frames``, which is of this library.
        kind: as the convention calls it, such as ``fog``.
        severity: 1 (mildest) to 5.

    Raises:
        InputError: there is no such convention, kind or severity.

    >>> clips = torch.rand(2, 3, 8, 32, 32)
    >>> reversed_clips = Corruption("frames", "reversal", 5)(clips, seeds=[0, 1])
    >>> bool(((reversed_clips - clips.flip(2)).abs() <= 0.5 / 255 + 1e-6).all())
    True
    """

    convention: str
    kind: str
    severity: int

    def __post_init__(self) -> None:
        convention = CONVENTIONS.get(self.convention)
        if convention is None:
            raise InputError(f"there is no convention {self.convention!r} of corruptions: {_listed(CONVENTIONS)}.")
        if self.kind not in (names := [kind.name for kind in convention.kinds]):
            raise InputError(f"{self.convention} has no kind {self.kind!r}: {_listed(names)}.")
        if self.severity not in SEVERITIES:
            raise InputError(f"a severity is a whole number from 1 to 5, not {self.severity!r}.")

    @property
    def about(self) -> CorruptionKind:
        """Its kind, with the levels and what they mean."""
        found = CONVENTIONS[self.convention].kind(self.kind)
        assert found is not None
        return found

    def __call__(self, clips: ClipTensor, seeds: Sequence[int]) -> ClipTensor:
        """Corrupt clips.

        A clip comes out the same whatever clips stand beside it. Random numbers are drawn on the CPU, the rest is done
        where the clips are; compression and transmission go through a codec on the CPU, clip by clip.

        Args:
            clips: ``B 3 T H W`` in [0, 1].
            seeds: ``B``, of each clip's random draws.

        Returns:
            ``B 3 T H W``, whole multiples of 1/255 as videos have them.

        Raises:
            InputError: the clips are not of that shape, or there is not one seed for each.
        """
        if clips.ndim != 5 or clips.shape[1] != 3:
            raise InputError(f"clips must be B 3 T H W, but are {tuple(clips.shape)}.")
        if len(seeds) != len(clips):
            raise InputError(f"each clip has a seed: {len(clips)} clips, but {len(seeds)} seeds were given.")
        if not len(clips):
            return clips
        kind = self.about
        with torch.no_grad():
            changed = kind.apply(clips, kind.levels[self.severity - 1], ClipDraws(seeds, clips.device))
            return (changed.clamp(0, 1) * 255).round() / 255

    def __str__(self) -> str:
        return f"{self.convention}(kinds={self.kind},severity={self.severity})"


def corruptions(text: str) -> list[Corruption]:
    """The corruptions that a text asks for, kind by kind, each at its severities in ascending order.

    Args:
        text: a convention, maybe with some of its kinds and severities: ``ucf101-p``,
            ``minikinetics-c(kinds=(fog,rain),severity=1-3)``.

    Raises:
        NotationError: it does not parse, or there is no such convention, kind or severity; the message points at it.

    >>> [str(one) for one in corruptions("ucf101-p(kinds=jumble, severity=4-5)")]
    ['ucf101-p(kinds=jumble,severity=4)', 'ucf101-p(kinds=jumble,severity=5)']
    >>> len(corruptions("minikinetics-c")), len(corruptions("ucf101-p"))
    (70, 90)
    """
    asked = read_corruptions(text)
    convention = CONVENTIONS.get(asked.convention.path.lower())
    if convention is None:
        raise asked.error(
            asked.convention.at,
            f"there is no convention {asked.convention.path!r} of corruptions: {_listed(CONVENTIONS)}",
        )
    kinds = [_kind(asked, convention.name, word.path, word.at) for word in asked.kinds] or list(convention.kinds)
    names = dict.fromkeys(kind.name for kind in kinds)
    return [Corruption(convention.name, name, severity) for name in names for severity in asked.severities]


def _kind(asked: AskedCorruptions, convention: str, name: str, at: int) -> CorruptionKind:
    found = CONVENTIONS[convention].kind(name)
    if found is None:
        raise asked.error(
            at, f"{convention} has no kind {name!r}: {_listed(one.name for one in CONVENTIONS[convention].kinds)}"
        )
    return found


def _listed(names: object) -> str:
    return "choose of " + ", ".join(names)  # type: ignore[call-overload]
