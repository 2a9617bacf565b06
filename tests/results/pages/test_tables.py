from __future__ import annotations

import csv
import re

import pytest

from vidrobust.errors import InputError, RunError
from vidrobust.results.numbers.costs import costs
from vidrobust.results.pages.tables import tables
from vidrobust.runs.directory import Run

HOSTILE = r"AT_{$x$} & \input{secret} <b> | *"


@pytest.fixture(scope="module")
def run(synthetic, tmp_path_factory):
    rows = [
        row | {"model": HOSTILE} if row.get("model") == "AT(ε=8,α=2,i=10)" else row for row in synthetic.rows(seeds=2)
    ]
    return synthetic.write(tmp_path_factory.mktemp("tables") / "run", rows, examples=0)


def written(run, tmp_path, fmt):
    return {path.stem: path.read_text() for path in tables(run, fmt, tmp_path)}


NAMES = ["clean", "step-sizes", "robustness-i20", "robustness-i5", "claims", "costs"]


def test_csv_has_the_counts_of_the_rows(run, tmp_path):
    found = written(run, tmp_path, "csv")
    assert list(found) == NAMES
    head, *lines = csv.reader(found["robustness-i20"].splitlines())
    assert head == ["Model", "column", "value", "low", "high", "clips", "note"]
    rows = [r for r in Run.open(run).rows("robustness") if (r["model"], r["eps"], r["steps"]) == (HOSTILE, 8, 20)]
    line = next(line for line in lines if line[:2] == [HOSTILE, "ε=8"])
    assert float(line[2]) == pytest.approx(100 * sum(r["correct"] for r in rows) / 240, rel=1e-4) and line[5] == "240"
    assert float(line[3]) < float(line[2]) < float(line[4])


def test_the_best_defence_of_each_column_is_bold_and_only_it(run, tmp_path):
    text = written(run, tmp_path, "markdown")["robustness-i20"]
    lines = [
        [cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line.startswith("|")
    ]
    for column in range(2, 8):
        values = {line[0]: line[column] for line in lines[2:] if line[0] != "standard"}
        share = {model: float(cell.replace("**", "").split()[0]) for model, cell in values.items()}
        bold = {model for model, cell in values.items() if cell.startswith("**")}
        assert bold == {model for model in share if share[model] == max(share.values())}
    assert "**" not in next(line for line in text.splitlines() if line.startswith("| standard"))
    assert re.search(r"\d+\.\d \(\d+\.\d–\d+\.\d\)", text)


def test_latex_is_balanced_and_takes_no_command_from_a_name(run, tmp_path):
    found = written(run, tmp_path, "latex")
    text = found["robustness-i20"]
    assert r"\input" not in text and r"\textbackslash{}input\{secret\}" in text and r"\textbf{" in text
    for table in found.values():
        plain = re.sub(r"\\[{}$&#%_^]", "", table)
        assert plain.count("{") == plain.count("}") and plain.count("$") % 2 == 0
        body = plain[plain.index(r"\toprule") : plain.index(r"\bottomrule")]
        assert len({line.count("&") for line in body.splitlines() if line.endswith(r"\\")}) == 1


def test_what_cannot_be_made_is_said(run, tmp_path, synthetic):
    with pytest.raises(InputError, match="latex, csv, markdown"):
        tables(run, "word", tmp_path)
    empty = synthetic.write(tmp_path / "empty", [], examples=0, kind="train")
    for file in empty.glob("jobs/*/timings.jsonl"):
        file.unlink()
    with pytest.raises(RunError, match="nothing|no rows"):
        tables(empty, "csv")


def test_costs_add_the_seeds_up(run):
    first, second = costs(Run.open(run))
    assert (first.what, first.jobs, first.gradients, first.seconds) == ("train standard", 2, 240000, 63.0)
    assert (second.what, second.jobs) == ("<b>sweep</b>", 1)
