"""``vidrobust attack``: attack some clips and store them for viewing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vidrobust.attacks.aimed import Aimed
from vidrobust.attacks.text import from_text
from vidrobust.cli.model_under_test import ModelUnderTest, checked
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, flat, run
from vidrobust.cli.terminal import show_files
from vidrobust.data.decoding.coded import Codec, check_codable
from vidrobust.data.recorded import recorded_frames
from vidrobust.errors import InputError
from vidrobust.evaluation.clips import BATCH, clip_ranks
from vidrobust.evaluation.defences import TRANSFORMS
from vidrobust.evaluation.examples import examples
from vidrobust.evaluation.fields import attack_budget
from vidrobust.evaluation.video_files import FileAttack, adversarial_files
from vidrobust.fast.spilled import spill
from vidrobust.runs.directory import Run
from vidrobust.runs.files import check_new, check_writable
from vidrobust.runs.rows import Row
from vidrobust.study.config import check_count
from vidrobust.study.trained import refuse_gradients
from vidrobust.study.written_files import write_index
from vidrobust.training.fitting import study_alpha_star

if TYPE_CHECKING:
    from vidrobust.data.clips import Clips
    from vidrobust.study.trained import Trained

TARGETED = "PGD(ε=8,α=2,i=20,targeted=true)"


@dataclass(frozen=True, kw_only=True)
class AttackClips(Verb):
    """Attack some clips and keep them, losslessly, in a run directory whose page shows them.

    Attributes:
        subject: the model and its clips.
        out: the run directory to write.
        attack: such as "PGD(ε=8,α=α*,i=20)".
        clips: how many rightly classified clips.
        alpha_star: the run directory of a study or a sweep whose α* is used.
        write: a folder for adversarial video files of these clips as well, made to survive rounding to 8 bits and the
            codec, and judged after the data pipeline has decoded them.
        codec: of these files; png writes folders of frames, without loss.
        crf: their quality, from 0 (best) to 51.
        target: the class that a targeted attack is to reach, by name; clips of that class are left out.
        spill: a folder on a disk for what an attack holds of long clips, of which memory then holds little.
    """

    NEXT = (
        Step("vidrobust attack zoo:motion-standard", "four clips, of a model of the zoo"),
        Step("vidrobust report runs/attacked", "the page that shows them"),
        Step("vidrobust attack runs/at --out runs/attacked --write files --codec h264", "and as video files"),
    )

    subject: ModelUnderTest = flat(ModelUnderTest())
    out: Path = Path("runs/attacked")
    attack: str = "PGD(ε=8,α=α*,i=20)"
    clips: int = 4
    alpha_star: Path | None = None
    write: Path | None = None
    codec: Codec = "h264"
    crf: int = 18
    target: str = ""
    spill: Path | None = None

    def __post_init__(self) -> None:
        check_count("--clips", self.clips)
        if self.write is not None and self.target:
            raise InputError("--write makes files that the model gets wrong in any way: leave out --target.")

    def run(self, console: Console) -> None:
        """Attack, store, and print the path of the page."""
        with spill(self.spill):
            self._attack(console)

    def _attack(self, console: Console) -> None:
        from vidrobust.results.pages.report import report

        checked(self.attack, aimed=bool(self.target))
        if self.write is not None:
            check_new(self.write)
        known = None if self.alpha_star is None else study_alpha_star(self.alpha_star)
        check_writable(self.out)
        found = self.subject.found(console)
        if self.write is not None:
            check_codable(self.codec, self.crf, found.data.config.size, found.data.config.size)
        attack = from_text(self.attack, known or found.alpha_star(), TRANSFORMS)
        refuse_gradients(found.model, attack)
        aimed = self._aimed(attack, found.data.classes)
        asked = {"attack": self.attack, "model": found.name, "split": self.subject.split, "clips": self.clips}
        asked |= {"target": self.target} if self.target else {}
        run = Run.start(self.out, "attack", {**asked, "of": found.origin}, found.seed)
        pool = found.clips(self.subject.split, max(BATCH * 2, self.clips))
        usable = (clip_ranks(found.model, pool) == 0) & (pool.labels != getattr(aimed, "target", -1))
        right = pool.subset(usable.nonzero().flatten())
        if len(right) == 0:
            raise InputError(f"{found.name} classifies none of {len(pool)} clips rightly: there is nothing to attack.")
        eps, alpha, steps = attack_budget(attack)
        setting: Row = {"model": found.name, "attack": self.attack, "eps": eps, "alpha": alpha, "steps": steps}
        folder = run.job_path("examples")
        folder.mkdir(parents=True, exist_ok=True)
        chosen = right.spread(self.clips)
        recorded = partial(recorded_frames, found.data, chosen)
        rows = examples(found.model, chosen, aimed, folder, setting, recorded)
        run.append([*found.rows(), *rows])
        for row in rows:
            before, after = row["clean_top"][0], row["adversarial_top"][0]
            console.print(f"{row['video']}: {before[0]} ({before[1]:.2f}) → {after[0]} ({after[1]:.2f})", markup=False)
        if self.write is not None:
            print(self._written(self.write, found, attack, right.spread(self.clips), console))
        print(report([run.path]))

    def _written(self, folder: Path, found: Trained, attack: Any, clips: Clips, console: Console) -> Path:
        """Write the clips as adversarial files, tell what survived, and return the index of the files."""
        how = FileAttack(attack, self.codec, self.crf)
        files = adversarial_files(found.model, clips, how, folder)
        about = {"model": found.name, "of": found.origin, "split": self.subject.split, "attack": self.attack}
        show_files(files, f"{self.codec}, crf {self.crf}" if self.codec != "png" else "png", console)
        return write_index(folder, found.model, {**about, "codec": self.codec, "crf": self.crf}, files)

    def _aimed(self, attack: Any, classes: Sequence[str]) -> Any:
        """The attack, with its class to reach.

        Raises:
            InputError: there is no such class, or the attack and the option do not go together.
        """
        if not self.target:
            return attack
        if not getattr(attack, "targeted", False):
            raise InputError(f"--target needs an attack with targeted=true, such as {TARGETED!r}, not {self.attack!r}.")
        if self.target not in classes:
            near = get_close_matches(self.target, classes, 3, 0.0)
            raise InputError(f"--target {self.target!r}: the data have no such class. Near it: {', '.join(near)}.")
        return Aimed(attack, list(classes).index(self.target))


def main(arguments: list[str]) -> None:
    """``vidrobust attack [RUN]``."""
    run(AttackClips, "attack", arguments)
