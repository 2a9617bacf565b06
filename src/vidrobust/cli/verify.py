"""``vidrobust verify``: score the adversarial clips of a judgement anew."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from vidrobust.attacks.text import threat_from_text
from vidrobust.cli.judge import is_run, tested
from vidrobust.cli.model_under_test import Split
from vidrobust.cli.next_steps import Step
from vidrobust.cli.options import Verb, option, run
from vidrobust.cli.terminal import printer
from vidrobust.errors import InputError, NotationError, RunError
from vidrobust.models.conventions import Convention
from vidrobust.models.spec import parse_spec
from vidrobust.results.judgements.record import Judgement, key_of, read_judgement, threat_name
from vidrobust.runs.directory import Run
from vidrobust.study.judgement_plan import group_threats
from vidrobust.study.verification import Verification, verified
from vidrobust.study.written_files import INDEX, read_index, verified_files

if TYPE_CHECKING:
    from rich.console import Console

SUBJECT = {
    "run": (str,),
    "model": (str,),
    "file": (str, None),
    "convention": get_args(Convention),
    "data": (dict, None),
}
DATA = {"name": (str,), "frames": (int,), "size": (int,), "classes": (str, None)}
"""Fields of the configuration of a judgement that are read, and the types or values that they may have."""


@dataclass(frozen=True, kw_only=True)
class Verify(Verb):
    """Score the stored adversarial clips of a judgement anew, by forward passes alone; exits with 1 if not all holds.

    Attributes:
        record: the folder that `vidrobust judge` wrote, or that of `vidrobust attack --write`, whose files are decoded
            again.
        subject: the model, as `vidrobust judge` takes it; by default where the judgement took it from, unless that
            would run code. Files need it.
        model: of a study, which of its models.
        data: of a model without a run.
        weights: of a model without a run.
        classes: of a model without a run, a file with its class names.
        convention: of a 3D-ResNets checkpoint.
        frames: of its clips.
        size: of its clips.
        split: the clips; by default those of the record.
        skip_bad: leave out videos that cannot be decoded.
        threat: of the record, where its norm or support is your own, such as "Linf(8, mypackage.Own)": what a record
            names is not run before you name it; may be given several times.
    """

    NEXT = (
        Step("vidrobust verify runs/judged", "score its adversarial clips anew"),
        Step("vidrobust leaderboard runs", "all judgements on one page"),
    )

    record: Path = option(positional=True, type=Path)
    subject: str = ""
    model: str = "standard"
    data: str | None = None
    weights: str | None = None
    classes: Path | None = None
    convention: Convention = "auto"
    frames: int | None = None
    size: int | None = None
    split: Split | None = None
    skip_bad: bool = False
    threat: list[str] | None = option(action="append", default=None)

    def run(self, console: Console) -> None:
        """Check, and print what holds and what does not."""
        if (self.record / INDEX).is_file():
            self._files(console)
            return
        judgement = read_judgement(self.record)
        self._refuse_unnamed(judgement)
        split = self.split or judgement.record["data"]["split"]
        if split not in ("train", "val", "test"):
            raise InputError(f"the record is of the split {split!r}: there are train, val and test.")
        asked = self if self.subject else self._as_judged()
        count = 0 if self.subject else len(judgement.record["clips"]["list"])
        found = tested(replace(asked, split=split)).found(console, strict=False, only=split, count=count)
        done = verified(judgement, found.model.eval(), getattr(found.data, split))
        _print_outcome(done, "adversarial clips break the model within the threat, clip by clip", console)

    def _refuse_unnamed(self, judgement: Judgement) -> None:
        """Refuse norms and supports that only the record names."""
        keys = [key_of(threat) for threat in judgement.record["threats"]]
        for norm, eps, support in keys:
            try:
                threat_from_text(eps, norm, support)
            except (InputError, NotationError) as error:
                text = threat_name(norm, eps, support)
                raise InputError(
                    f"{judgement.path} is of the threat {text}, which cannot be made. Where its norm or support is "
                    f'your own: what a file names is not run; give it yourself, --threat "{text}".\n{error}'
                ) from None
        for region in group_threats(self.threat) if self.threat else ():
            if not {(region.norm, eps, region.support) for eps in region.eps} <= set(keys):
                known = ", ".join(threat_name(*key) for key in keys)
                raise InputError(f"--threat {self.threat} is not that of {judgement.path}, which has {known}.")

    def _files(self, console: Console) -> None:
        """Check adversarial video files."""
        if not self.subject:
            raise InputError(f"{self.record} holds video files: say which model they are of, --subject RUN.")
        index = read_index(self.record)
        split = self.split or index.get("split")
        if split not in ("train", "val", "test"):
            raise InputError(f"the files are of the split {split!r}: there are train, val and test.")
        found = tested(replace(self, split=split)).found(console, strict=False)
        done = verified_files(self.record, found.model.eval(), getattr(found.data, split))
        _print_outcome(done, "video files break the model as the data pipeline decodes them", console)

    def _as_judged(self) -> Verify:
        """The model that the judgement took, if opening it runs no code that a file names."""
        folder = self.record if self.record.is_dir() else self.record.parent
        config = Run.open(folder).config
        of = _typed(folder, config.get("subject") if isinstance(config, dict) else config, SUBJECT)
        if of["run"]:
            subject, data = of["run"], None
        else:
            subject, data = of["model"], of["data"] and _typed(folder, of["data"], DATA)
        if not data and not is_run(subject, None):
            raise InputError(f"{self.record} does not say where its model is: give it by --subject, and --data.")
        if data and parse_spec(subject).kind == "factory":
            raise InputError(
                f"{self.record} names the function {subject!r}: what a file names is not run. Give it yourself: "
                f"--subject {subject} --data {data['name']}."
            )
        known = {"convention": of["convention"], "weights": of["file"]}
        if data:
            known |= {"classes": Path(data["classes"]) if data.get("classes") else None}
            known |= {"data": data["name"], "frames": data["frames"], "size": data["size"]}
        return Verify(record=self.record, subject=subject, model=of["model"], **known)


def _typed(folder: Path, found: object, kinds: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    """What the configuration of a judgement says of its model or data, whose fields may have these types or values.

    Raises:
        RunError: it lacks one of them, or has another.
    """
    told = found if isinstance(found, dict) else {}
    for name, allowed in kinds.items():
        value = told.get(name, ...)
        if type(value) not in allowed and value not in [one for one in allowed if not isinstance(one, type)]:
            wrong = "is missing" if value is ... else f"is {ascii(value)[:60]}"
            raise RunError(
                f"{folder / 'config.json'} is damaged: {name} of the model or of its data {wrong}. "
                "Say which model it is by --subject, and --data."
            )
    return told


def _print_outcome(done: Verification, what: str, console: Console) -> None:
    """Print what holds; end with 1 if something does not."""
    log = printer(console)
    for fault in done.faults:
        log(f"does not hold: {fault}")
    print(f"{done.held} of {done.checked} {what}")
    if done.faults:
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """``vidrobust verify DIR``."""
    run(Verify, "verify", arguments)
