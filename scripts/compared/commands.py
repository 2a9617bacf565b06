"""What the command line is asked to do within a revision: each verb once, one after the other in one folder."""

from __future__ import annotations

SMALL = ("--clips.size", "16", "--clips.max_frames", "10", "--clips.train", "48", "--clips.val", "20")
FIT = ("--fit.optimiser", "sgd", "--fit.accumulate", "2", "--fit.layer_decay", "0.5", "--fit.precision", "float32")
WATCH = ("--watch.clips", "8", "--watch.steps", "2")

COMMANDS: dict[str, tuple[str, ...]] = {
    "train": (
        *("train", "--data", "{data}", "--init", "{start}", "--out", "trained", "--method", "TRADES(ε=8,α=4,i=2,β=1)"),
        *("--epochs", "2", "--batch", "12", "--seed", "1", "--fit.checkpointing", "true", *SMALL, *FIT, *WATCH),
    ),
    "evaluate": (
        *("evaluate", "trained", "--split", "train", "--clips", "12", "--attack", "PGD(ε=2,α=α*,i=3)"),
        *("--attack", "APGD(ε=64,steps=5,norm=L2,support=Border(ratio=0.2))", "--attack", "RayS(ε=8,queries=20)"),
    ),
    "evaluate a defence": (
        *("evaluate", "trained", "--split", "train", "--clips", "8", "--out", "defended"),
        *("--defence", "Recompress(quality=4)", "--attack", "Square(ε=8,queries=10)"),
    ),
    "evaluate videos": (
        *("evaluate", "trained", "--split", "train", "--clips", "8", "--views", "2", "--level", "video"),
        *("--attack", "FrameSaliency(search=PGD(ε=8,α=2,i=2),frames=2)"),
    ),
    "sweep": (
        "sweep",
        "trained",
        "--eps",
        "[4,8]",
        "--steps",
        "[2,3]",
        "--clips",
        "8",
        "--workers",
        "1",
        "--out",
        "swept",
    ),
    "attack": (
        "attack",
        "trained",
        "--split",
        "train",
        "--clips",
        "2",
        "--out",
        "attacked",
        "--attack",
        "CW(ε=8,steps=3)",
    ),
    "transfer": (
        *("transfer", "trained", "{start}", "--split", "train", "--clips", "8", "--out", "transferred"),
        *("--attack", "MIFGSM(ε=8,i=2,diversity=0.5)", "--attack", "APGD(ε=8,steps=3)"),
    ),
    "data check": ("data", "check", "{data}", "--out", "checked.json", "--workers", "1"),
    "report": ("report", "example", "--out", "page.html"),
    "report figures": ("report", "example", "--figures", "png", "--out", "figures"),
    "report csv": ("report", "example", "--tables", "csv", "--out", "csv"),
    "report latex": ("report", "example", "--tables", "latex", "--out", "latex"),
    "report markdown": ("report", "example", "--tables", "markdown", "--out", "markdown"),
    "deck": ("deck", "example", "--out", "deck.html"),
    "show": ("show", "example"),
    "export": ("export", "example", "rows.parquet"),
}
"""By name; ``{data}`` and ``{start}`` stand for the data set and a trained model, ``example`` is docs/example-run."""
