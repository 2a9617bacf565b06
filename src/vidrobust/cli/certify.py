"""``vidrobust certify``: certified accuracy, compared with the accuracy under attacks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from vidrobust.cli.model_under_test import ModelUnderTest
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, flat, option, run
from vidrobust.cli.terminal import show_certificates
from vidrobust.errors import VidrobustError
from vidrobust.evaluation.certificates.rows import rows_of
from vidrobust.evaluation.certificates.text import certificate_from_text
from vidrobust.evaluation.manifest import manifest_rows
from vidrobust.models.fingerprint import fingerprint
from vidrobust.results.numbers.certificates import contradictions
from vidrobust.runs.directory import Run
from vidrobust.runs.files import check_writable
from vidrobust.study.config import check_count
from vidrobust.study.progress import Display

if TYPE_CHECKING:
    from rich.console import Console

    from vidrobust.study.trained import Trained


@dataclass(frozen=True, kw_only=True)
class Certify(Verb):
    """Certify a model's predictions: rows and a page with the certified and the attacked accuracy.

    Attributes:
        subject: the model and its clips.
        certificate: such as "CROWN(ε=2)", "IBP(ε=8)", "Smoothing(σ=64)", "FrameAblation(keep=2)" or
            "PatchAblation(width=4)"; may be given several times.
        clips: the most clips to certify; 0 certifies all.
        unattacked: leave out the attacks on the same clips.
        out: a run directory of its own for the rows, with a page; by default they go to the model's run.
    """

    NEXT: ClassVar[tuple[Step, ...]] = (
        Step('vidrobust certify runs/at --certificate "CROWN(ε=0.5)" --out runs/certified', "under L∞, for certain"),
        Step('vidrobust train --method "Noise(σ=64)" --out runs/noise', "a model that answers noise"),
        Step('vidrobust certify runs/noise --certificate "Smoothing(σ=64)"', "under L2, by votes under noise"),
    )

    subject: ModelUnderTest = flat(ModelUnderTest())
    certificate: list[str] = option(action="append")
    clips: int = 100
    unattacked: bool = False
    out: Path | None = None

    def __post_init__(self) -> None:
        check_count("--clips", self.clips, 0)

    def run(self, console: Console) -> None:
        """Certify, and print what holds.

        Raises:
            VidrobustError: an attack broke a clip that is certified; rows and page are written all the same.
        """
        certificates = [certificate_from_text(text) for text in self.certificate]
        if self.out is not None:
            check_writable(self.out)
        found = self.subject.found(console)
        run = found.run if self.out is None else self._started(self.out, found)
        chosen = found.clips(self.subject.split, self.clips)
        with Display(len(certificates) * len(chosen), console) as display:
            measured = rows_of(found.model, chosen, certificates, attack=not self.unattacked, progress=display.add)
        about = {"seed": found.seed, "split": self.subject.split, "weights": fingerprint(found.model)}
        rows = [{**row, "model": behind(found.name, row["defence"]), **about} for row in measured]
        listed = [*manifest_rows(rows), *rows]
        show_certificates(listed, console)
        if run is not None:
            run.append(listed)
        if self.out is not None:
            from vidrobust.results.pages.report import report

            print(report([self.out]))
        if wrong := contradictions(listed):
            raise VidrobustError("\n".join(wrong))

    def _started(self, out: Path, found: Trained) -> Run:
        asked = {"of": found.origin, "model": found.name, "data": asdict(found.data.config)}
        run = Run.start(out, "certify", {**asked, "certificates": self.certificate}, found.seed)
        run.append(found.rows())
        return run


def behind(name: str, defence: str) -> str:
    """What a model is called of which the defended one is measured."""
    return f"{name} behind {defence}" if defence else name


def main(arguments: list[str]) -> None:
    """``vidrobust certify [RUN] --certificate TEXT``."""
    run(Certify, "certify", arguments)
