"""The regime of the `full` study, varied in one thing at a time, on validation clips (docs/regime.md).

Each variant trains a standard model and, from it, one defence; both are attacked by PGD with 20 iterations of α=ε/4,
and the defence at ε=8 by all attacks of a judgement. The seed is that of the search, which no study uses. Trained
models are kept in runs/benchmark-regime; a killed run of the same sources goes on where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measuring import Stage
from benchmarks.results import models_folder
from benchmarks.suites.methods import accuracy
from vidrobust.data.dataset import DataConfig, load
from vidrobust.evaluation.clips import robustness_rows
from vidrobust.evaluation.ensemble import Ensemble
from vidrobust.evaluation.judging import worst_case_row
from vidrobust.evaluation.manifest import manifest_row
from vidrobust.models.checkpoints import load_model
from vidrobust.models.resnet3d import fresh
from vidrobust.models.shapes import small
from vidrobust.results.numbers.selection import Rows, of_kind
from vidrobust.runs.keys import content_key
from vidrobust.runs.rows import append_lines, read_json_lines
from vidrobust.study.recipes import full
from vidrobust.threats import Linf, Threat
from vidrobust.training.fitting import fit
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.data.dataset import VideoClips

SEED, EPS, STEPS, CLIPS, WORST_CLIPS = 100, (0.0, 2.0, 4.0, 8.0, 12.0, 16.0), 20, 160, 40
ENSEMBLE = Ensemble(steps=30, targets=2, queries=200)
DATA = replace(full().clips, val=160, test=100, seed=SEED)


@dataclass(frozen=True)
class Regime:
    """How a standard model and a defence that starts from it are trained.

    Attributes:
        data: the clips.
        standard, epochs: of the standard model and of the defence.
        method: the policy of the defence.
        width: of the first stage; the others and the stem in proportion.
    """

    data: DataConfig = DATA
    standard: int = full().standard.epochs
    epochs: int = full().adversarial.epochs
    method: str = "AT(ε=8,α=8,i=3)"
    width: int = 16

    def network(self, classes: int) -> nn.Module:
        """Untrained."""
        shape, factor = small(classes), self.width / 16
        widths = tuple(int(width * factor) for width in shape.widths)
        return fresh(replace(shape, widths=widths, stem_width=self.width), SEED)

    @property
    def key_of_standard(self) -> str:
        """The folder of the standard model, which variants of the defence alone share."""
        return content_key([asdict(self.data), self.standard, self.width])

    @property
    def key(self) -> str:
        """The folder of the defence."""
        return content_key([self.key_of_standard, self.epochs, self.method])


def seen_once(chosen: Regime) -> Regime:
    """On clips of which each is seen once, as new ones in each epoch are: as many steps as the longer training."""
    clips = max(chosen.standard, chosen.epochs) * DATA.train
    return replace(chosen, data=replace(DATA, train=clips), standard=1, epochs=1)


CHOSEN = Regime()
VARIANTS: dict[str, Regime] = {
    "as chosen": CHOSEN,
    "contrast 0.15–0.5": replace(CHOSEN, data=replace(DATA, contrast=(0.15, 0.5))),
    "contrast 0.4–1.0": replace(CHOSEN, data=replace(DATA, contrast=(0.4, 1.0))),
    "300 training clips": replace(CHOSEN, data=replace(DATA, train=300)),
    "1,200 training clips": replace(CHOSEN, data=replace(DATA, train=1200)),
    "7,200 training clips, one epoch each": seen_once(CHOSEN),
    "5 epochs of the defence": replace(CHOSEN, epochs=5),
    "20 epochs of the defence": replace(CHOSEN, epochs=20),
    "half the width": replace(CHOSEN, width=8),
    "twice the width": replace(CHOSEN, width=32),
    "EMA of the weights": replace(CHOSEN, method=f"{CHOSEN.method}+EMA(τ=0.95)"),
    "SWA of the last half": replace(CHOSEN, method=f"{CHOSEN.method}+SWA(start=0.5)"),
    "defence at ε=4": replace(CHOSEN, method="AT(ε=4,α=4,i=3)"),
    "defence at ε=12": replace(CHOSEN, method="AT(ε=12,α=12,i=3)"),
    "defence at ε=16": replace(CHOSEN, method="AT(ε=16,α=16,i=3)"),
}


def measure(stage: Stage) -> None:
    """Train and evaluate what is missing, then take down the table."""
    out = models_folder("regime", stage.tiny)
    variants = {name: tiny(regime) for name, regime in VARIANTS.items()} if stage.tiny else VARIANTS
    for name, regime in variants.items():
        if stage.wants(name):
            with stage.trying(name):
                done(regime, out)
                stage.add(kind="figure", row=name, what="table", value=line(regime, out))


def tiny(regime: Regime) -> Regime:
    """In miniature: the same code on few clips."""
    return replace(regime, data=replace(regime.data, train=20, val=10, test=10), standard=1, epochs=1)


def done(regime: Regime, out: Path) -> None:
    """Train and attack both models, once."""
    data = load(regime.data)
    plain, defence = out / regime.key_of_standard, out / regime.key
    if not (plain / "assessed.jsonl").exists():
        fit(regime.network(len(data.classes)), data, epochs=regime.standard, seed=SEED, out=plain)
        assess(plain, "standard", data, worst=False)
    if not (defence / "assessed.jsonl").exists():
        lr = full().adversarial.lr
        fit(load_model(plain), data, regime.method, epochs=regime.epochs, lr=lr, seed=SEED, out=defence)
        assess(defence, regime.method, data, worst=True)


def assess(folder: Path, name: str, data: VideoClips, worst: bool) -> None:
    """Attack a model on validation clips."""
    model, clips = load_model(folder), data.val.spread(CLIPS)
    rows = robustness_rows(model, clips, EPS, (STEPS,), lambda eps, steps: eps / 4)
    manifests = [manifest_row(clips)]
    if worst:
        few = clips.spread(WORST_CLIPS)
        rows.append({**worst_case_row(model, few, Threat(Linf(), 8 * PIXEL), ENSEMBLE), "attack": "worst case"})
        manifests.append(manifest_row(few))
    about = {"model": name, "seed": SEED, "split": "val"}
    append_lines(folder / "assessed.jsonl", [*manifests, *({**about, **row} for row in rows)])


def line(regime: Regime, out: Path) -> dict[str, Any]:
    """Accuracies of both models in percent, with their intervals over sources."""
    plain, defence = (assessed(out / key) for key in (regime.key_of_standard, regime.key))
    worst = [row for row in defence if row.get("attack") == "worst case"]
    return {
        "standard, clean": accuracy(at(plain, 0.0)),
        "standard, ε=8": accuracy(at(plain, 8.0)),
        "defence, clean": accuracy(at(defence, 0.0)),
        **{f"ε={eps:g}": accuracy(at(defence, eps)) for eps in (4.0, 8.0, 12.0, 16.0)},
        "worst case, ε=8": accuracy(worst),
    }


def assessed(folder: Path) -> list[dict[str, Any]]:
    """The accuracies of one model."""
    return of_kind(Rows(read_json_lines(folder / "assessed.jsonl")), "robustness")


def at(rows: Sequence[dict[str, Any]], eps: float) -> list[dict[str, Any]]:
    """Under PGD at one ε, or clean."""
    return [row for row in rows if row["eps"] == eps and row.get("attack") != "worst case"]
