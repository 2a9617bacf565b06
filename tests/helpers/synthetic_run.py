"""A made-up run for the tests of everything right of the rows: plausible shapes, no measurement behind any number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vidrobust.runs.directory import Run
from vidrobust.runs.keys import content_key
from vidrobust.runs.rows import Row, append_lines

EPS = (0, 2, 4, 8, 12, 15)
QUICK = {  # policy: (clean accuracy, median ε that a clip survives)
    "standard": (0.97, 0.9),
    "AT(ε=8,α=8,i=3)": (0.92, 5.0),
    "AT(ε=8,α=2,i=10)": (0.86, 4.6),
    "CAL(ε~U(0,12),α=α*,i=5)": (0.90, 6.4),
    "CAL(ε~U(0,12),α=ε,i=i*)": (0.93, 7.5),
    "CAL(ε~rU(12,0),α=ε,i=i*)": (0.94, 3.9),
}
FULL = QUICK | {
    "AT(ε=4,α=4,i=5)": (0.94, 5.4),
    "AT(ε=12,α=12,i=2)": (0.85, 4.4),
    "fAT(ε=8,α=2,i=5)": (0.89, 4.9),
    "fAT(ε=8,α=2,i=20)": (0.86, 4.7),
    "CAL(ε~U(0,12),α~αU,i~iU)": (0.90, 6.0),
    "CAL(ε~U(0,12),α=α*,i=10)": (0.88, 6.2),
    "CAL(ε~U(0,12),α=α*,i=20)": (0.87, 6.1),
    "CAL(ε~lU(0,12),α=α*,i=i*)": (0.86, 5.9),
}
DIFFICULTY = {
    "AT(ε=8,α=8,i=3)",
    "CAL(ε~U(0,12),α=ε,i=i*)",
    "CAL(ε~rU(12,0),α=ε,i=i*)",
    "AT(ε=4,α=4,i=5)",
    "AT(ε=12,α=12,i=2)",
}
CLASSES = ["left", "right", "zoom in", "<script>alert('class')</script>"]
CLIPS = 120


def rows(models: dict[str, tuple[float, float]] | None = None, seeds: int = 3, clips: int = CLIPS) -> list[Row]:
    """All kinds of rows of a study."""
    rng, models = np.random.default_rng(7), models or QUICK
    names = [(model, seed) for model in models for seed in range(1 if model == "standard" else seeds)]
    found = [dataset(), *trajectories(rng, clips), *step_sizes(rng, clips)]
    for model, seed in names:
        clean, survives = models[model]
        found += [accuracy(model, seed, split, clean, clips) for split in ("train", "test")]
        found += robustness(rng, model, seed, clean, survives, clips)
        found += [epoch(model, seed, number) for number in range(1, 13)]
        found.append(masking(found, model, seed, clips))
    found.append(accuracy("single frame", 0, "test", 0.27, clips))
    found += [row for seed in range(seeds) for row in gap(rng, "CAL(ε~U(0,12),α=α*,i=5)", seed)]
    return found + [row for seed in range(seeds) for row in difficulty(rng, models, seed)]


def every_kind() -> list[Row]:
    """Rows of every kind that the schema knows, no two of which measure the same."""
    return [
        *rows(seeds=1),
        *several_attacks(QUICK),
        *several_views(QUICK),
        *transferred(QUICK),
        manifest(),
        *corrupted(QUICK),
        corrupted_example("jpeg"),
        {
            "kind": "watch", "model": "AT(ε=8,α=8,i=3)", "seed": 0, "epoch": 1, "split": "val", "clean": 9, "single": 5,
            "robust": 3, "clips": 16, "loss": 1.5, "robust_loss": 2.5, "eps": 8.0, "alpha": 2.0, "steps": 10,
        },
        {"kind": "self_test", "model": "theirs", "seed": 0, "found": ["batch: logits depend on the other clips."]},
        {"kind": "stopped", "model": "m", "seed": 0, "epoch": 9, "best_epoch": 3, "reason": "r", "stop": True},
        {"kind": "fallback", "model": "m", "seed": 0, "epoch": 9, "best_epoch": 3, "reason": "r", "policy": "p"},
        certificate(),
        {
            "kind": "example", "file": "jobs/examples/example-0.npz", "video": "v", "label": "left", "model": "m",
            "eps": 8.0, "alpha": 2.0, "steps": 10, "clean_top": [["left", 0.9]], "adversarial_top": [["right", 0.8]],
        },
    ]  # fmt: skip


def with_manifests(found: list[Row], sources: int = 12) -> list[Row]:
    """Rows as this version writes them: each names its clips, whose manifest is there."""
    named = ("robustness", "difficulty", "trajectory", "accuracy", "gap")
    known = {row["clips"]: manifest(row["clips"], sources) for row in found if row["kind"] in named}
    told = [row | {"clips_of": known[row["clips"]]["clips_of"]} if row["kind"] in named else row for row in found]
    return [*known.values(), *told]


def dataset() -> Row:
    return {
        "kind": "dataset", "name": "synthetic", "classes": CLASSES, "frames": 8, "size": 32, "contrast": [0.2, 0.6],
        "clips": {"train": 400, "val": 80, "test": CLIPS}, "groups": {"train": 10, "val": 3, "test": 4},
        "skipped": [{"file": "left/<b>bad</b>.avi", "reason": "truncated & unreadable"}],
    }  # fmt: skip


def manifest(clips: int = CLIPS, sources: int = 12) -> Row:
    """Which clips rows are of: a few sources, each with as many clips as the others."""
    listed = [
        {"video": f"left/v_{index}.avi", "source": f"g{index % sources:02d}", "label": index % 4, "frames": [0, 7],
         "crop": [0, 0, 32, 32], "sha256": f"{index:064x}"}
        for index in range(clips)
    ]  # fmt: skip
    return {"kind": "manifest", "clips_of": content_key(listed), "clips": clips, "list": listed}


def certificate(text: str = "CROWN(ε=4)", eps: float = 4.0, held: int = 20, **changed: object) -> Row:
    """A certificate of the first so many clips."""
    return {
        "kind": "certificate", "model": "standard", "seed": 0, "split": "test", "clips": CLIPS, "certificate": text,
        "norm": "Linf", "support": "WholeClip", "defence": "", "unit": "1/255", "clips_of": manifest()["clips_of"],
        "correct": max(held, 30), "abstained": 0, "radius": [eps] * held + [0.0] * (CLIPS - held), "draws": 0,
        "sources": 12,
    } | changed  # fmt: skip


def accuracy(model: str, seed: int, split: str, share: float, clips: int) -> Row:
    return {
        "kind": "accuracy", "model": model, "seed": seed, "split": split, "k": 4, "clips": clips,
        "top1": round(share * clips), "top5": clips,
    }  # fmt: skip


def trajectories(rng: np.random.Generator, clips: int) -> list[Row]:
    steps, found = np.arange(31), []
    for eps in (4, 8):
        noise = rng.normal(0, 0.4, clips)
        for alpha in [0.05, *np.round(np.geomspace(0.2, 2 * eps + 2, 12), 4).tolist()]:
            reach = np.minimum(alpha * steps, eps) / eps * np.exp(-((np.log(alpha / (0.22 * eps)) / 2.2) ** 2))
            loss = 0.2 + 1.6 * eps * reach / (1 + 0.1 * eps)
            correct = (clips * 0.97 * np.exp(-1.1 * loss)).astype(int).tolist()
            per_clip = {
                str(i): (loss[i] + noise + rng.normal(0, 0.1, clips)).round(4).tolist() for i in (5, 10, 20, 30)
            }
            found.append({
                "kind": "trajectory", "model": "standard", "seed": 0, "eps": eps, "alpha": alpha, "clips": clips,
                "loss": loss.round(4).tolist(), "correct": correct, "clip_loss": per_clip, "surface": True,
            })  # fmt: skip
    return found


def step_sizes(rng: np.random.Generator, clips: int) -> list[Row]:
    found = []
    for steps, slope in ((5, 0.42), (10, 0.24), (20, 0.14)):
        for eps in range(1, 13):
            alpha = float((0.1 + slope * eps) * rng.normal(1, 0.04))
            found.append({
                "kind": "step_size", "eps": eps, "steps": steps, "alpha": alpha, "low": alpha * 0.85,
                "high": alpha * 1.2, "interior": not (eps == 12 and steps == 5), "clips": clips,
            })  # fmt: skip
    return found


def robustness(rng: np.random.Generator, model: str, seed: int, clean: float, survives: float, clips: int) -> list[Row]:
    right = rng.random(clips) < clean
    limit = survives * np.exp(rng.normal(0, 0.6, clips)) * rng.normal(1, 0.02)
    found = []
    for steps, help_ in ((5, 1.15), (20, 1.0)):
        for eps in EPS:
            alive = right & (limit * help_ > eps)
            found.append({
                "kind": "robustness", "model": model, "seed": seed, "split": "test", "eps": eps,
                "alpha": 0.2 * eps, "steps": steps, "clips": clips, "correct": int(alive.sum()),
                "survived": "".join("1" if one else "0" for one in alive),
            })  # fmt: skip
    return found


def epoch(model: str, seed: int, number: int) -> Row:
    attacked = model.startswith(("AT", "CAL", "fAT"))
    return {
        "kind": "epoch", "model": model, "seed": seed, "epoch": number, "epochs": 12, "clips": 400,
        "loss": round(0.3 + 2.0 / number + 0.05 * seed, 4), "correct": 400 - 240 // number,
        "eps": float(number if "~U" in model else 8) if attacked else 0.0,
        "alpha": 0.25 * number if attacked else 0.0, "steps": 5 if attacked else 0,
    }  # fmt: skip


def masking(found: list[Row], model: str, seed: int, clips: int) -> Row:
    at = next(
        r for r in found if r.get("model") == model and r["kind"] == "robustness" and (r["eps"], r["steps"]) == (8, 20)
    )
    return {
        "kind": "masking", "model": model, "seed": seed, "clips": clips, "zero_gradient": 0, "noise_eps": 8,
        "noise_correct": round(0.85 * clips), "pgd_correct": at["correct"], "huge_eps": 128, "huge_correct": 0,
    }  # fmt: skip


def gap(rng: np.random.Generator, model: str, seed: int) -> list[Row]:
    found = []
    for number in range(1, 13):
        for eps in (2, 8, 12):
            for split, clips, reach in (("train", 200, 0.9), ("val", 80, 0.7)):
                share = reach * (1 - np.exp(-number / 4)) * np.exp(-eps / 14) + rng.normal(0, 0.01)
                found.append({
                    "kind": "gap", "model": model, "seed": seed, "epoch": number, "split": split, "eps": eps,
                    "alpha": 0.2 * eps, "steps": 5, "correct": int(np.clip(share, 0, 1) * clips), "clips": clips,
                })  # fmt: skip
    return found


def difficulty(rng: np.random.Generator, models: dict[str, tuple[float, float]], seed: int) -> list[Row]:
    found = []
    for contrast in (0.3, 0.5, 0.7):
        for model in sorted(models.keys() & DIFFICULTY):
            clean, survives = models[model]
            for row in robustness(rng, model, seed, clean, survives * contrast, 60):
                found.append(row | {"kind": "difficulty", "contrast": contrast})
    return sorted(found, key=lambda row: (row["contrast"], row["model"], row["steps"], row["eps"]))


SQUARE = "Square(threat=Threat(norm=Linf(), eps=0.0314, support=WholeClip()), queries=100)"
BORDER = "PGD(threat=Threat(norm=Linf(), eps=0.0314, support=Border(width=2)), steps=20)"


def several_attacks(models: dict[str, tuple[float, float]], clips: int = CLIPS) -> list[Row]:
    """Rows of `vidrobust evaluate` with attacks of another kind."""
    found = []
    for model, (clean, survives) in models.items():
        for attack, steps, share in ((SQUARE, 1, 0.12 * survives), (BORDER, 20, 0.1 * survives)):
            correct = round(min(clean, share) * clips)
            found.append({
                "kind": "robustness", "model": model, "seed": 0, "split": "test", "eps": 8.0, "alpha": 0.0,
                "steps": steps, "attack": attack, "clips": clips, "correct": correct,
                "survived": "1" * correct + "0" * (clips - correct),
                **({"queries": [*range(clips, 0, -1)]} if attack == SQUARE else {}),
            })  # fmt: skip
    return found


def several_views(models: dict[str, tuple[float, float]], videos: int = 40, views: int = 5) -> list[Row]:
    """Rows of `vidrobust evaluate --views`: clips, and videos by the mean of their logits, clean and at two ε."""
    found = []
    for model, (clean, survives) in models.items():
        for level, attacked, gain in (("clip", "clip", 1.0), ("video", "clip", 1.4), ("video", "video", 1.2)):
            clips = videos * views if level == "clip" else videos
            for eps in (0.0, 4.0, 8.0):
                if eps == 0 and (level, attacked) == ("video", "video"):
                    continue  # one clean row serves both
                share = min(1, gain * (1 + views / 50) * 2.0 ** -(eps / survives))
                correct = round(clips * clean * share)
                found.append({
                    "kind": "views", "model": model, "seed": 0, "split": "test", "eps": eps, "alpha": eps / 4,
                    "steps": 10 if eps else 0, "attack": f"PGD(ε={eps:g},α={eps / 4:g},i=10)" if eps else "none",
                    "level": level, "attacked": attacked if eps else "none", "views": views, "videos": videos,
                    "average": None if level == "clip" else "logits", "clips": clips, "correct": correct,
                    "survived": "1" * correct + "0" * (clips - correct),
                })  # fmt: skip
    return found


def transferred(models: dict[str, tuple[float, float]], clips: int = CLIPS) -> list[Row]:
    """Rows of `vidrobust transfer`: clean, and by one attack on each model and on the mean logits of all."""
    found = []
    for number, (model, (clean, _)) in enumerate(models.items()):
        for other, surrogate in enumerate(("none", *models, " + ".join(models))):
            correct = round(clips * clean * (1 if surrogate == "none" else 0.2 if surrogate == model else 0.5))
            found.append({
                "kind": "transfer", "model": model, "seed": 0, "split": "test", "surrogate": surrogate,
                "eps": 8.0 if other else 0.0, "alpha": 0.0, "steps": 10 if other else 0, "clips": clips,
                "attack": "MIFGSM(ε=8)" if other else "none", "correct": correct - number, "sources": 12,
                "survived": "1" * (correct - number) + "0" * (clips - correct + number),
                "clips_of": manifest(clips)["clips_of"],
            })  # fmt: skip
    return found


def corrupted(models: dict[str, tuple[float, float]], clips: int = CLIPS) -> list[Row]:
    """Rows of `vidrobust evaluate --corruption`: two kinds that count and one beside, at five severities."""
    found = []
    for model, (clean, survives) in models.items():
        about = {"kind": "corruption", "model": model, "seed": 0, "split": "test", "convention": "ucf101-p", "draws": 0,
                 "clips": clips, "sources": 12, "clips_of": manifest(clips)["clips_of"]}  # fmt: skip
        for kind, group, harm in (("none", "", 0.0), ("jpeg", "coding", 0.5), ("jumble", "temporal", 1.0),
                                  ("extra", "coding", 2.0)):  # fmt: skip
            for severity in range(1, 6) if harm else (0,):
                correct = round(clips * clean * 2.0 ** -(harm * severity / (1 + survives)))
                row = about | {"corruption": kind, "group": group, "severity": severity, "counted": harm in (0.5, 1.0),
                               "correct": correct, "survived": "1" * correct + "0" * (clips - correct)}  # fmt: skip
                found.append(row)
    return found


def corrupted_example(kind: str) -> Row:
    """One strip to watch, which lies in no run."""
    return {
        "kind": "corruption_example", "file": f"corruptions/ucf101-p/{kind}.webp", "model": "standard", "seed": 0,
        "convention": "ucf101-p", "corruption": kind, "severities": [0, 1, 2], "video": "left/v_left_g00_c01.avi",
        "label": CLASSES[0], "answers": [[CLASSES[0], 0.9], [CLASSES[0], 0.6], [CLASSES[3], 0.5]],
    }  # fmt: skip


def example(run: Path, number: int, frames: int = 8, size: int = 32) -> Row:
    """One watchable clip; its arrays are written into the run. Number 2 is clip 0 again, under another attack."""
    rng, video, again = np.random.default_rng(number), number % 2, number > 1
    clean = np.zeros((frames, size, size, 3), np.uint8)
    y, x = np.mgrid[:size, :size]
    for t in range(frames):
        clean[t] = (128 + 90 * np.sin((x + (2 * t if video else -2 * t)) / 3.0) * np.cos(y / 5.0)).astype(np.uint8)[
            ..., None
        ]
    clean[..., 1] //= 2
    delta = (8 * np.sign(rng.normal(size=clean.shape))).astype(np.float16)
    delta = np.clip(delta, -clean.astype(np.float32), 255 - clean.astype(np.float32)).astype(np.float16)
    if again:
        delta[np.arange(frames) != 3] = 0  # the whole budget in one frame
    file = f"examples/{number}.npz"
    (run / "examples").mkdir(parents=True, exist_ok=True)
    stored = {"clean": clean, "delta": delta} | ({} if again else {"recorded": clean.repeat(2, 1).repeat(2, 2)})
    np.savez_compressed(run / file, **stored)
    return {
        "kind": "example", "file": file, "video": f"left/v_left_g0{video}_c01.avi", "label": CLASSES[0],
        "model": "AT(ε=8,α=8,i=3)" if again else "standard", "eps": 4 if again else 8, "alpha": 1.8, "steps": 20,
        "gradients": 2, "search": "PGD", "norm": "Linf", "no_gradient": 0,
        "clean_top": [[CLASSES[0], 0.93], [CLASSES[3], 0.05], [CLASSES[1], 0.02]],
        "adversarial_top": [[CLASSES[3], 0.88], [CLASSES[0], 0.1], [CLASSES[2], 0.02]],
    }  # fmt: skip


def write(path: Path, found: list[Row], examples: int = 3, kind: str = "study") -> Path:
    """A whole run directory."""
    run = Run.start(
        path, kind, {"profile": "quick", "seed": 0, "name": "<i>synthetic</i>", "data": {"size": 32}}, seed=0
    )
    run.append([*found, *(example(path, number) for number in range(examples))])
    for number, title in enumerate(("train standard, seed 0", "train standard, seed 1", "<b>sweep</b>")):
        cost = {"job": str(number), "title": title, "seconds": 31.5, "cpu_seconds": 30.25, "gradients": 120000}
        run.job_path(str(number)).mkdir(parents=True)
        append_lines(run.job_path(str(number)) / "timings.jsonl", [cost])
    return path
