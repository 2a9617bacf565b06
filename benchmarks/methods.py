"""All training methods on `motion`: clean and robust accuracy, at equal epochs and at equal training compute.

    python benchmarks/methods.py runs/methods            # trains and evaluates what is missing, two processes
    python benchmarks/methods.py runs/methods --table    # prints the tables of docs/methods.md from what is there

Each model starts from the standard-trained one of its seed. At *equal epochs* all train for as many; at *equal compute*
each trains for so many epochs that its clip-gradients (a training step on a clip counting two) come to those of
AT(ε=8,α=2,i=5). A killed run goes on where it was. Test clips are attacked by PGD with 20 iterations of α=ε/4, the
headline rows of the first seed by AutoAttack as well, and models with a purifier blindly besides.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from vidrobust.analysis import interval
from vidrobust.attack_text import from_text
from vidrobust.attacks.blind import Blind, classifier_behind
from vidrobust.data.dataset import DataConfig, VideoClips, load
from vidrobust.evaluation import evaluate
from vidrobust.fitting import fit
from vidrobust.jobs import first
from vidrobust.models.checkpoints import load_model
from vidrobust.models.spec import build
from vidrobust.notation import parse_policy
from vidrobust.runs import append_lines, content_key, read_lines
from vidrobust.schedules import Clock

HEADLINES = (
    "AT(ε=8,α=2,i=5)",
    "AT(ε=8,α=8,i=3)",
    "CAL(ε~U(0,12),α=ε,i=i*)",
    "CAL(ε~rU(12,0),α=ε,i=i*)",
    "AAT(ε_max=12,α=ε/4,i=5)",
    "TRADES(ε=8,α=2,i=5)",
)
OTHERS = (
    "CAL(ε~U(0,12),α=ε/4,i=5,by=step)",
    "CAL(ε~paced(0,12),α=ε/4,i=5)",
    "TRADES(ε=8,α=2,i=5)+AWP(γ=0.005)",
    "MART(ε=8,α=2,i=5)",
    "Friendly(ε=8,α=2,i=5,τ=1)",
    "Free(ε=8,m=4)",
    "FGSM-RS(ε=8,α=1.25ε)",
    "N-FGSM(ε=8,α=ε)",
    "AT(ε=8,α=2,i=5)+EMA(τ=0.95)",
    "AVG(AT(ε=8,α=2,i=5),AT(ε=255,α=64,i=5,norm=L2))",
    "MultiBN(AT(ε=8,α=2,i=5),AT(ε=64,α=16,i=5,support=Border(ratio=0.1)))",
    "APE(ε=8,α=2,i=5,width=16)",
    "GAT(ε=8,α=2,i=5,width=16)",
)
REFERENCE, EPOCHS, SEEDS, CLIPS = "AT(ε=8,α=2,i=5)", 6, 3, 120
DATA = DataConfig(train=300, val=100, test=200)
ATTACKS = ("PGD(ε=4,α=1,i=20)", "PGD(ε=8,α=2,i=20)")
STRONGEST, STRONGEST_CLIPS = "AutoAttack(ε=8)", 32


@dataclass(frozen=True)
class Work:
    """One model to train and evaluate."""

    method: str
    epochs: int
    seed: int
    headline: bool

    @property
    def key(self) -> str:
        """The folder of its run."""
        return content_key([self.method, self.epochs, self.seed])


def main() -> None:
    """Do what is missing, or print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    if not options.table:
        load(DATA)  # once, before the processes look for it
        with ProcessPoolExecutor(options.workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            list(pool.map(standard, range(SEEDS), [options.out] * SEEDS))
            everything = list(dict.fromkeys(plan()))
            list(pool.map(done, everything, [options.out] * len(everything)))
    print_tables(options.out)


def plan() -> Iterator[Work]:
    """Headline rows of all seeds first."""
    for methods, seeds in ((HEADLINES, SEEDS), (OTHERS, 1)):
        for seed in range(seeds):
            for method in methods:
                for epochs in dict.fromkeys((EPOCHS, equal_epochs(method))):
                    yield Work(method, epochs, seed, methods is HEADLINES)


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
    assess(out / f"standard-{seed}", Work("standard", 15, seed, False), data, 0.0)


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
    model, clips = load_model(folder), first(data.test, CLIPS)
    attacks: list[Any] = [from_text(text, None) for text in ATTACKS]
    names = [*ATTACKS]
    if classifier_behind(model) is not None:
        attacks += [Blind(attack) for attack in attacks]
        names += [f"{name}, blind" for name in ATTACKS]
    rows = evaluate(model, clips, attacks)
    if work.headline and work.seed == 0 and work.epochs == EPOCHS:
        rows += evaluate(model, first(clips, STRONGEST_CLIPS), [from_text(STRONGEST, None)])[1:]
        names.append(STRONGEST)
    about = {"method": work.method, "epochs": work.epochs, "seed": work.seed, "cpu_seconds": round(seconds, 1)}
    append_lines(file, [{**about, **row, "attack": name} for name, row in zip(["none", *names], rows, strict=True)])


def print_tables(out: Path) -> None:
    """Both tables as Markdown."""
    rows = [row for file in sorted(out.glob("*/assessed.jsonl")) for row in read_lines(file)]
    for title, epochs_of in (("equal epochs", lambda method: EPOCHS), ("equal compute", equal_epochs)):
        print(f"\n## At {title}\n")
        print("| method | epochs | seeds | clean | PGD ε=4 | PGD ε=8 | AutoAttack ε=8 | CPU min |")
        print("| --- | --- | --- | --- | --- | --- | --- | --- |")
        for method in ("standard", *HEADLINES, *OTHERS):
            epochs = 15 if method == "standard" else epochs_of(method)
            print(line(method, epochs, [row for row in rows if row["method"] == method and row["epochs"] == epochs]))
        print("\nBlind to the purifier:", json.dumps(blind(rows), ensure_ascii=False))


def line(method: str, epochs: int, rows: list[dict[str, Any]]) -> str:
    """One row of a table: each accuracy over all seeds' clips, its interval, and the seeds' standard deviation."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        found[row["attack"]].append(row)
    seeds = len({row["seed"] for row in rows})
    minutes = [row["cpu_seconds"] / 60 for row in found["none"]]
    spent = f"{sum(minutes) / len(minutes):.1f}" if minutes else "–"
    cells = [accuracy(found[name]) for name in ("none", *ATTACKS, STRONGEST)]
    return f"| `{method}` | {epochs} | {seeds} | {' | '.join(cells)} | {spent} |"


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


def blind(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Accuracies under attacks that do not know of the purifier."""
    found = [row for row in rows if row["attack"].endswith("blind")]
    return {f"{row['method']}, {row['epochs']} epochs, {row['attack']}": accuracy([row]) for row in found}


if __name__ == "__main__":
    main()
