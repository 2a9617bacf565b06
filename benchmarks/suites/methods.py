"""All training methods on `motion`: clean and robust accuracy, at equal epochs and at equal training compute.

Each model starts from the standard-trained one of its seed. At *equal epochs* all train for as many; at *equal compute*
each trains for so many epochs that its clip-gradients (a training step on a clip counting two) come to those of
AT(ε=8,α=2,i=5). The β of TRADES and of MART is chosen first, on validation clips, with the first seed. Trained models
are kept in runs/benchmark-methods; a killed run goes on where it was. Test clips are attacked by PGD with 20 iterations
of α=ε/4, the headline rows of the first seed by AutoAttack as well, and models with a purifier also without it.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from benchmarks.measuring import Stage
from benchmarks.results import ROOT
from vidrobust.attacks.blind import Blind, classifier_behind
from vidrobust.attacks.text import from_text
from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.evaluation.clips import evaluate
from vidrobust.models.building import build
from vidrobust.models.checkpoints import load_model
from vidrobust.notation import parse_policy
from vidrobust.notation.schedules import Clock
from vidrobust.results.numbers.intervals import interval, t_interval
from vidrobust.runs.keys import content_key
from vidrobust.runs.rows import append_lines, read_json_lines
from vidrobust.training.fitting import fit

STRONG, WEAK = "AT(ε=8,α=2,i=5)", "AT(ε=8,α=8,i=3)"
RISING, FALLING = "CAL(ε~U(0,12),α=ε,i=i*)", "CAL(ε~rU(12,0),α=ε,i=i*)"
BETAS = (0.5, 1.0, 2.0, 6.0)
"""Of which TRADES and MART get the one that does best on validation; the authors' are 6 and 5, at ε = 8 on CIFAR-10."""
OTHERS = (
    "CAL(ε~U(0,12),α=ε/4,i=5,by=step)",
    "CAL(ε~paced(0,12),α=ε/4,i=5)",
    "TRADES(ε=8,α=2,i=5,β=6)",
    "Friendly(ε=8,α=2,i=5,τ=1)",
    "Free(ε=8,m=4)",
    "FGSM-RS(ε=8,α=1.25ε)",
    "N-FGSM(ε=8,α=ε)",
    "AT(ε=8,α=2,i=5)+EMA(τ=0.95)",
    "AVG(AT(ε=8,α=2,i=5),AT(ε=255,α=64,i=5,norm=L2))",
    "MultiBN(AT(ε=8,α=2,i=5),AT(ε=64,α=16,i=5,support=Border(ratio=0.1)))",
    "APE(ε=8,α=2,i=5,width=16,rate=0.002,fool=0.003)",
    "GAT(ε=8,α=2,i=5,width=16,rate=0.002,fool=0.003)",
)
REFERENCE, EPOCHS, SEEDS, CLIPS = STRONG, 8, 3, 160
DATA = DataConfig(train=300, val=100, test=200)
ATTACKS = ("PGD(ε=4,α=1,i=20)", "PGD(ε=8,α=2,i=20)")
STRONGEST, STRONGEST_CLIPS = "AutoAttack(ε=8)", 64
PAIRS = ((RISING, STRONG), (RISING, WEAK), (RISING, FALLING), (STRONG, WEAK))


@dataclass(frozen=True)
class Work:
    """One model to train and evaluate."""

    method: str
    epochs: int
    seed: int
    headline: bool = False
    split: str = "test"

    @property
    def key(self) -> str:
        """The folder of its run."""
        return content_key([self.method, self.epochs, self.seed, self.split])


def measure(stage: Stage) -> None:
    """Train and evaluate what is missing, by two processes, then take down the tables."""
    out = ROOT / "runs" / ("benchmark-methods-tiny" if stage.tiny else "benchmark-methods")
    if stage.tiny:
        _tiny(stage, out)
        return
    load(DATA)  # once, before the processes look for it
    with ProcessPoolExecutor(2, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        list(pool.map(standard, range(SEEDS), [out] * SEEDS))
        tried = [Work(text, EPOCHS, 0, split="val") for name in ("TRADES", "MART") for text in with_betas(name)]
        list(pool.map(done, tried, [out] * len(tried)))
        everything = list(dict.fromkeys(plan(out)))
        list(pool.map(done, everything, [out] * len(everything)))
    tables(stage, out)


def _tiny(stage: Stage, out: Path) -> None:
    """One method, trained for one epoch on few clips."""
    data, work = load(replace(DATA, train=20, val=10, test=10)), Work(STRONG, 1, 0)
    fit(build("r3d-small", len(data.classes)), data, STRONG, epochs=1, out=out / work.key)
    assess(out / work.key, work, data, 0.0)
    rows = list(read_json_lines(out / work.key / "assessed.jsonl"))
    stage.add(kind="figure", row="at equal epochs", what="table", value=line(STRONG, 1, rows))


def with_betas(name: str) -> list[str]:
    """A method with each β in question."""
    return [f"{name}(ε=8,α=2,i=5,β={beta:g})" for beta in BETAS]


def chosen(name: str, out: Path) -> str:
    """The method with the β that keeps most validation clips at ε = 4 and 8 together."""

    def kept(text: str) -> int:
        rows = read_json_lines(out / Work(text, EPOCHS, 0, split="val").key / "assessed.jsonl")
        return sum(row["correct"] for row in rows if row["attack"] in ATTACKS)

    return max(with_betas(name), key=kept)


def headlines(out: Path) -> tuple[str, ...]:
    """The methods that are trained with every seed."""
    return STRONG, WEAK, RISING, FALLING, "AAT(ε_max=12,α=ε/4,i=5)", chosen("TRADES", out)


def others(out: Path) -> tuple[str, ...]:
    """Those of one seed."""
    return f"{chosen('TRADES', out)}+AWP(γ=0.005)", chosen("MART", out), *OTHERS


def plan(out: Path) -> Iterator[Work]:
    """Headline rows of all seeds first."""
    for methods, seeds in ((headlines(out), SEEDS), (others(out), 1)):
        for seed in range(seeds):
            for method in methods:
                for epochs in dict.fromkeys((EPOCHS, equal_epochs(method))):
                    yield Work(method, epochs, seed, seeds > 1)


def equal_epochs(method: str) -> int:
    """How many epochs cost as much as the reference does."""
    policy = parse_policy(method)
    each = sum(policy.cost(Clock(epoch, EPOCHS)) for epoch in range(EPOCHS)) / EPOCHS
    return max(1, round(EPOCHS * parse_policy(REFERENCE).cost(Clock(0, EPOCHS)) / each))


def standard(seed: int, out: Path) -> None:
    """The model that the others of a seed start from."""
    if (out / f"standard-{seed}" / "assessed.jsonl").exists():
        return
    data = load(DATA)
    fit(build("r3d-small", len(data.classes), seed), data, epochs=15, seed=seed, out=out / f"standard-{seed}")
    assess(out / f"standard-{seed}", Work("standard", 15, seed), data, 0.0)


def done(work: Work, out: Path) -> None:
    """Train and evaluate one model."""
    if (out / work.key / "assessed.jsonl").exists():
        return
    data, started = load(DATA), time.process_time()
    model = load_model(out / f"standard-{work.seed}")
    fit(model, data, work.method, epochs=work.epochs, lr=2e-3, seed=work.seed, out=out / work.key)
    assess(out / work.key, work, data, time.process_time() - started)
    print(work, flush=True)


def assess(folder: Path, work: Work, data: VideoClips, seconds: float) -> None:
    """Attack the model, once."""
    file = folder / "assessed.jsonl"
    model, clips = load_model(folder), (data.val if work.split == "val" else data.test).spread(CLIPS)
    attacks: list[Any] = [from_text(text, None) for text in ATTACKS]
    names = [*ATTACKS]
    if classifier_behind(model) is not None:
        attacks += [Blind(attack) for attack in attacks]
        names += [f"{name}, blind" for name in ATTACKS]
    rows = evaluate(model, clips, attacks)
    if work.headline and work.seed == 0 and work.epochs == EPOCHS:
        rows += evaluate(model, clips.spread(STRONGEST_CLIPS), [from_text(STRONGEST, None)])[1:]
        names.append(STRONGEST)
    about: dict[str, Any] = {"method": work.method, "epochs": work.epochs, "seed": work.seed, "split": work.split}
    about["cpu_seconds"] = round(seconds, 1)
    append_lines(file, [{**about, **row, "attack": name} for name, row in zip(["none", *names], rows, strict=True)])


def tables(stage: Stage, out: Path) -> None:
    """The tables of docs/methods.md, a row a method."""
    rows = [row for file in sorted(out.glob("*/assessed.jsonl")) for row in read_json_lines(file)]
    tested = [row for row in rows if row["split"] == "test"]
    ways: tuple[tuple[str, Callable[[str], int]], ...] = (
        ("equal epochs", lambda method: EPOCHS),
        ("equal compute", equal_epochs),
    )

    def add(row: str, value: dict[str, Any]) -> None:
        stage.add(kind="figure", row=row, what="table", value=value)

    for title, epochs_of in ways:
        for method in ("standard", *headlines(out), *others(out)):
            add(f"at {title}", line(method, 15 if method == "standard" else epochs_of(method), tested))
    for one, other in PAIRS:
        cells = {f"at {title}": difference(one, other, epochs_of, tested) for title, epochs_of in ways}
        add("differences of clean, PGD ε=4, PGD ε=8", {"methods": f"`{one}` − `{other}`", **cells})
    for method in (text for text in OTHERS if text.startswith(("APE", "GAT"))):
        for epochs in dict.fromkeys((EPOCHS, equal_epochs(method))):
            add("through the purifier and blind to it", purified_line(method, epochs, tested))
    validated = [row for row in rows if row["split"] == "val"]
    for text in (*with_betas("TRADES"), *with_betas("MART")):
        found = by_attack(text, EPOCHS, validated)
        add("on validation", {"method": f"`{text}`", **{name: accuracy(found[name]) for name in ("none", *ATTACKS)}})


def by_attack(method: str, epochs: int, rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The rows of one method, by attack and in the order of their seeds."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["seed"]):
        if (row["method"], row["epochs"]) == (method, epochs):
            found[row["attack"]].append(row)
    return found


def line(method: str, epochs: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One row of a table: each accuracy over all seeds' clips, its interval, and the seeds' standard deviation."""
    found = by_attack(method, epochs, rows)
    minutes = [row["cpu_seconds"] / 60 for row in found["none"]]
    spent = f"{sum(minutes) / len(minutes):.1f}" if minutes else "–"
    cells = {name: accuracy(found[name]) for name in ("none", *ATTACKS, STRONGEST)}
    return {"method": f"`{method}`", "epochs": epochs, "seeds": len(minutes), **cells, "CPU min": spent}


def purified_line(method: str, epochs: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Each attack beside the same one made without knowing of the purifier."""
    found = by_attack(method, epochs, rows)
    names = ["none", *(name for attack in ATTACKS for name in (attack, f"{attack}, blind"))]
    return {"method": f"`{method}`", "epochs": epochs, **{name: accuracy(found[name]) for name in names}}


def difference(one: str, other: str, epochs_of: Callable[[str], int], rows: list[dict[str, Any]]) -> str:
    """Points by which a method is better, paired by seed, with Student's 95 % interval over the seeds."""
    found = [by_attack(method, epochs_of(method), rows) for method in (one, other)]
    cells = []
    for name in ("none", *ATTACKS):
        pairs = list(zip(found[0][name], found[1][name], strict=False))
        if len(pairs) < 2:
            return "–"
        apart = [100 * (a["correct"] / a["clips"] - b["correct"] / b["clips"]) for a, b in pairs]
        low, high = t_interval(apart)
        cells.append(f"{(low + high) / 2:+.1f} ± {(high - low) / 2:.1f}")
    return ", ".join(cells)


def accuracy(rows: list[dict[str, Any]]) -> str:
    """Percent with its 95 % interval over clips."""
    if not rows:
        return "–"
    correct, clips = sum(row["correct"] for row in rows), sum(row["clips"] for row in rows)
    low, high = interval(correct, clips)
    shares = [100 * row["correct"] / row["clips"] for row in rows]
    mean = sum(shares) / len(shares)
    spread = math.sqrt(sum((share - mean) ** 2 for share in shares) / (len(shares) - 1)) if len(shares) > 1 else 0.0
    seeds = f", sd {spread:.1f}" if len(shares) > 1 else ""
    return f"{100 * correct / clips:.1f} [{100 * low:.0f}, {100 * high:.0f}] of {clips}{seeds}"
