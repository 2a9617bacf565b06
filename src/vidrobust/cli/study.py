"""``vidrobust study``: the whole study of the slides, from options to a page."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, flat, flattened, run
from vidrobust.data.dataset import DataConfig
from vidrobust.errors import InputError
from vidrobust.runs.directory import Run
from vidrobust.study.adding_seeds import check_hours
from vidrobust.study.config import StudyConfig
from vidrobust.study.cost import against_estimate, seconds_per_gradient, study_cost
from vidrobust.study.counts import cut
from vidrobust.study.engines import Where, early_engine
from vidrobust.study.plan import check_plan, study
from vidrobust.study.recipes import PROFILES

if TYPE_CHECKING:
    from rich.console import Console

    from vidrobust.study.engines import Engine


@dataclass(frozen=True, kw_only=True)
class Study(Verb):
    """Run the whole study of the slides, or go on with one, and make its page.

    Attributes:
        data: motion, the embedded data set, or a folder of videos.
        out: the run directory; by default runs/PROFILE.
        where: where its jobs run.
        skip_bad: leave out videos that cannot be decoded, and list them.
        dry_run: say what it would cost, and stop.
        hours: with --seeds until-decided, how long seeds are added.
        config: what is studied.
    """

    NEXT = (
        Step("vidrobust study --profile quick --dry-run", "what it would cost on this machine"),
        Step("vidrobust study --profile quick", "the study in small; again after a kill, it goes on"),
        Step("vidrobust show runs/quick", "what it found"),
    )
    PRESET: ClassVar = "profile"

    data: str | None = None
    out: Path | None = None
    where: Where = flat(Where())
    skip_bad: bool = False
    dry_run: bool = False
    hours: float | None = None
    config: StudyConfig = flat(StudyConfig())

    @classmethod
    def preset(cls, name: str | None) -> dict[str, Any]:
        """The options of a profile."""
        return flattened(asdict(PROFILES[name or "quick"]()))

    def run(self, console: Console) -> None:
        """The cost, then the study, then the path of its page."""
        config, out = self._whole(), self.out or Path("runs") / self.config.profile
        check_hours(config, self.hours)
        fresh = not (out / "jobs").exists()
        speed = _measured(config)  # before a worker starts, which would slow it down
        with early_engine(self.where) if fresh and not self.dry_run else nullcontext() as engine:
            self._checked_and_run(config, out, console, engine, speed, fresh)

    def _checked_and_run(
        self, config: StudyConfig, out: Path, console: Console, engine: Engine | None, speed: float | None, fresh: bool
    ) -> None:
        check_plan(config, self.where)
        Run.check(out, "study", asdict(config))
        estimate = study_cost(config, self.where.processes, speed)
        for line in (*cut(config), f"study, profile {config.profile}: {estimate}"):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        if self.dry_run:
            return
        begun = time.monotonic()
        page = study(config, out, self.where, console, self.hours, engine)
        if fresh and self.hours is None:  # else it is not the whole that was estimated
            comparison = against_estimate(estimate, (time.monotonic() - begun) / 60)
            console.print(comparison, highlight=False, soft_wrap=True)
        print(page)

    def _whole(self) -> StudyConfig:
        """The configuration with what has a shorter spelling.

        Raises:
            InputError: the data were to have another seed than the study.
        """
        config, clips = self.config, self.config.clips
        if clips.seed not in (DataConfig().seed, config.seed):
            raise InputError(f"--clips.seed {clips.seed}: the data have the seed of the study, which is {config.seed}.")
        own = {"name": self.data or clips.name, "skip_bad": self.skip_bad or clips.skip_bad, "seed": config.seed}
        return replace(config, clips=replace(clips, **own))


def _measured(config: StudyConfig) -> float | None:
    """Seconds of a gradient; None of a model that does not work, which the checks of the plan tell in their words."""
    try:
        return seconds_per_gradient(config)
    except Exception:  # noqa: BLE001 - a model of the user's own may raise anything
        return None


def main(arguments: list[str]) -> None:
    """``vidrobust study --profile NAME``."""
    run(Study, "study", arguments)
