"""Files of a run are data from elsewhere: what is damaged is named, the rest shown, and nothing ends in a traceback."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
import pytest

from vidrobust.errors import RunError
from vidrobust.results.pages.console import SafeConsole
from vidrobust.results.pages.content import RunContent
from vidrobust.results.pages.deck import deck
from vidrobust.results.pages.paper import plots
from vidrobust.results.pages.report import report
from vidrobust.results.pages.show import list_runs, show
from vidrobust.results.pages.tables import tables
from vidrobust.runs.directory import Run

ODD = (None, "x\x1b[2J", "\ud800", -1, 0, 0.5, 10**400, float("nan"), [], {}, [[1]], True)
"""Values that some field of a row cannot have."""


def watch(epoch, split):
    return {
        "kind": "watch", "model": "standard", "seed": 0, "epoch": epoch, "split": split, "clean": 5, "single": 4,
        "robust": 3, "clips": 9, "loss": 1.0, "robust_loss": 2.0, "eps": 8.0, "alpha": 2.0, "steps": 5,
    }  # fmt: skip


@pytest.fixture(scope="module")
def rows(synthetic):
    stopped = {"kind": "stopped", "model": "standard", "seed": 0, "epoch": 2, "best_epoch": 1, "reason": "no gain"}
    others = [*synthetic.several_attacks(synthetic.QUICK), *synthetic.several_views(synthetic.QUICK), stopped]
    return [*synthetic.rows(seeds=1), *others, *(watch(epoch, split) for epoch in (1, 2) for split in ("train", "val"))]


def shown(run):
    """Everything that can be made of a run; what the terminal got."""
    report(run)
    deck(run)
    tables(run, "latex")
    file = io.StringIO()
    show(run, SafeConsole(file=file))
    return file.getvalue()


def add(run, lines):
    with open(run / "rows.jsonl", "a") as file:
        file.writelines(line + "\n" for line in lines)


def test_whatever_is_wrong_in_a_row_is_named_and_the_rest_is_shown(synthetic, rows, tmp_path):
    run = synthetic.write(tmp_path / "run", rows)
    sound = len(Run.open(run).rows())
    first = {row["kind"]: row for row in reversed(Run.open(run).rows())}
    assert len(first) == 13
    damaged = []
    for row in first.values():
        fields = [name for name in row if name != "kind"]
        damaged += [{name: value for name, value in row.items() if name != left} for left in fields]
        damaged += [row | {name: value} for name in fields for value in ODD]
    add(run, [*map(json.dumps, damaged), "{", "[1]", "null", "[" * 100_000])
    text = shown(run)
    content = RunContent(Run.open(run))
    assert len(content.left_out) > len(damaged) / 2 and len(content.rows) >= sound
    assert all(line.startswith("rows.jsonl, line ") and ": " in line for line in content.left_out)
    assert "\x1b" not in text and "left out, as damaged" in text
    page = (run / "report.html").read_text()
    assert f"measured anew: {len(content.left_out)} lines" in page and "and 50 more" not in page
    from matplotlib.figure import Figure

    for plot in plots(content.rows):
        plot.draw(Figure().add_subplot())


def test_a_row_that_lacks_a_field_is_named_by_file_line_and_reason(synthetic, rows, tmp_path):
    run = synthetic.write(tmp_path / "run", rows, examples=0)
    number = len((run / "rows.jsonl").read_text().splitlines()) + 1
    add(run, ['{"kind":"gap","model":"m"}', '{"kind":"masking","clips":NaN}'])
    page = report(run).read_text()
    assert f"rows.jsonl, line {number}: gap: epoch is missing" in page
    assert f"rows.jsonl, line {number + 1}: masking: model is missing" in page


def test_a_doubled_row_counts_once_and_the_newer_of_two(synthetic, rows, tmp_path):
    once = synthetic.write(tmp_path / "once", rows, examples=0)
    twice = synthetic.write(tmp_path / "twice", rows, examples=0)
    add(twice, (once / "rows.jsonl").read_text().splitlines())
    assert list(RunContent(Run.open(twice)).rows) == list(RunContent(Run.open(once)).rows)
    assert "measured again in line" in report(twice).read_text()
    accuracy = next(row for row in rows if row["kind"] == "accuracy")
    add(twice, [json.dumps(accuracy | {"top1": 1})])
    (kept,) = [
        row for row in Run.open(twice).rows("accuracy")
        if all(row[name] == accuracy[name] for name in ("model", "seed", "split"))
    ]  # fmt: skip
    assert kept["top1"] == 1


@pytest.mark.parametrize("name", ["config.json", "provenance.json", "run.json", "jobs/0/timings.jsonl"])
@pytest.mark.parametrize(
    "content", ["", "[]", "3", "{}", "null\n", '"x"', "[" * 100_000, "\x80", '{"title": 3}\n{"a\n']
)
def test_the_other_files_of_a_run_are_shown_or_refused_in_words(synthetic, tmp_path, name, content):
    run = synthetic.write(tmp_path / "run", [synthetic.dataset()], examples=0)
    (run / name).write_bytes(content.encode("latin-1"))
    try:
        report(run)
        show(run, SafeConsole(file=io.StringIO()))
    except RunError as error:
        assert name.rpartition("/")[2] in str(error) or "run format" in str(error)
    list_runs(tmp_path, SafeConsole(file=io.StringIO()))


@pytest.mark.parametrize(
    "config",
    [
        {"policies": 5},
        {"policies": [3], "seeds": 2},
        {"policies": ["a"], "seeds": 10**15},
        {"seeds": "x"},
        {"weights": []},
    ],
)
def test_an_odd_configuration_asks_for_nothing(synthetic, tmp_path, config):
    run = synthetic.write(tmp_path / "run", [synthetic.dataset()], examples=0)
    (run / "config.json").write_text(json.dumps(config))
    shown(run)


# ---------------------------------------------------------------------------------------------------------- examples


def stored(run, **arrays):
    np.savez_compressed(run / "examples" / "0.npz", **arrays)


CLIP = np.zeros((2, 4, 4, 3), np.uint8)
DELTA = np.zeros((2, 4, 4, 3), np.float16)


def bomb(run):
    """A header that speaks of a small array before a gigabyte of zeros, and one that speaks of a large one."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (1 << 30, 1, 1, 3)})
    with zipfile.ZipFile(run / "examples" / "0.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("clean.npy", "w", force_zip64=True) as entry:
            entry.write(file.getvalue())
            for _ in range(64):
                entry.write(bytes(1 << 20))
        archive.writestr("delta.npy", b"")


def long_header(run):
    with zipfile.ZipFile(run / "examples" / "0.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("clean.npy", b"\x93NUMPY\x02\x00" + (1 << 30).to_bytes(4, "little") + bytes(1 << 22))


DAMAGE = {
    "not finite": lambda run: stored(run, clean=CLIP, delta=DELTA + np.float16("nan")),
    "instead of uint8": lambda run: stored(run, clean=DELTA, delta=DELTA),
    "instead of floating point": lambda run: stored(run, clean=CLIP, delta=DELTA[:1]),
    "no array 'delta'": lambda run: stored(run, clean=CLIP),
    "no plain numbers": lambda run: stored(run, clean=np.array([{}]), delta=DELTA),
    "more than 67108864": bomb,
    "format (2, 0)": long_header,
    "not a zip file": lambda run: (run / "examples" / "0.npz").write_bytes(b"x" * 99),
    "no regular file": lambda run: ((run / "examples" / "0.npz").unlink(), (run / "examples" / "0.npz").mkdir()),
    "instead of uint8 (T, H, W, 3)": lambda run: stored(run, clean=CLIP[:0], delta=DELTA[:0]),
    "recorded is float16": lambda run: stored(run, clean=CLIP, delta=DELTA, recorded=DELTA),
    "recorded has 1 frames instead of 2": lambda run: stored(run, clean=CLIP, delta=DELTA, recorded=CLIP[:1]),
}


@pytest.mark.parametrize("told", DAMAGE)
def test_a_damaged_example_is_named_and_the_others_are_shown(synthetic, tmp_path, told):
    run = synthetic.write(tmp_path / "run", [], examples=2)
    DAMAGE[told](run)
    page = report(run).read_text()
    assert "examples/0.npz" in page and told.replace("'", "&#x27;") in page and "data-player=" in page


def test_every_damage_of_an_examples_bytes_is_said_in_words(synthetic, tmp_path):
    run = synthetic.write(tmp_path / "run", [], examples=1)
    file = run / "examples" / "0.npz"
    data, rng = file.read_bytes(), np.random.default_rng(0)
    from vidrobust.runs.examples import read_example

    refused = 0
    for trial in range(400):
        torn = bytearray(data[: rng.integers(len(data))] if trial % 2 else data)
        for place in rng.integers(len(torn) or 1, size=1 + trial % 5):
            torn[place : place + 1] = bytes([rng.integers(256)])
        file.write_bytes(torn)
        try:
            read_example(run, "examples/0.npz")
        except RunError as error:
            refused += 1
            assert "examples/0.npz" in str(error)
    assert refused > 300
