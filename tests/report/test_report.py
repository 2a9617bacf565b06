from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from vidrobust.errors import RunError
from vidrobust.report import report


@pytest.fixture
def run(synthetic, tmp_path):
    return synthetic.write(tmp_path / "run", synthetic.rows(seeds=1))


def test_the_page_is_one_small_file_in_the_run(run):
    path = report([run])
    assert path == run / "report.html"
    assert path.stat().st_size < 6e6
    assert [child.name for child in run.iterdir() if child.name.startswith(".")] == []
    assert report([run], run / "other.html").read_bytes() == path.read_bytes()  # and nothing in it is of the hour


def test_class_and_file_names_are_text(run):
    page = report(run).read_text()
    assert "<script>alert" not in page and "<b>bad</b>" not in page and "<i>synthetic</i>" not in page
    assert "&lt;script&gt;alert(&#x27;class&#x27;)&lt;/script&gt;" in page and "\\u003cscript>alert" in page
    assert page.count("</script>") == 4


def test_first_screen_answers_with_counts(run):
    page = report(run).read_text()
    for told in (
        "7 models",
        "120 test",
        "Skipped files: 1",
        "Single-frame control",
        "26.7 % (19.6 to 35.2, 120 clips)",
    ):
        assert told in page
    assert re.search(r"Claims of the slides: \d+ reproduced, \d+ not reproduced, \d+ undecided", page)
    assert "36 of 36 passed" in page


def test_a_run_without_rows_says_what_is_missing(synthetic, tmp_path):
    page = report(synthetic.write(tmp_path / "run", [], examples=0)).read_text()
    assert "This run lacks: data, standard accuracy, sensitivity" in page
    assert page.count('class="missing"') > 8 and len(page) < 100_000  # no figure, so no plotly.js


def test_a_killed_run_shows_the_rest(synthetic, tmp_path):
    run = synthetic.write(
        tmp_path / "run", [row for row in synthetic.rows() if row["kind"] in ("dataset", "step_size")]
    )
    with open(run / "rows.jsonl", "ab") as file:
        file.write(b'{"kind":"robustness","mod')
    page = report(run).read_text()
    assert "step 6 (accuracy against ε) is missing" in page and page.count("data-figure=") == 1


def test_a_single_step_is_not_told_that_it_lacks_the_study(synthetic, tmp_path):
    rows = [row for row in synthetic.rows() if row["kind"] == "robustness"]
    page = report(synthetic.write(tmp_path / "run", rows, examples=0, kind="evaluate")).read_text()
    assert "This run lacks" not in page and page.count("data-figure=") == 1 and "Sensitivity of" not in page


@pytest.mark.parametrize("damage", ["missing", "outside", "torn", "shape", "pickled"])
def test_an_example_that_cannot_be_shown_is_named(synthetic, tmp_path, damage):
    run = synthetic.write(tmp_path / "run", [], examples=1)
    file = run / "examples" / "0.npz"
    if damage == "missing":
        file.unlink()
    elif damage == "outside":
        text = (run / "rows.jsonl").read_text().replace("examples/0.npz", "../secret.npz")
        (run / "rows.jsonl").write_text(text)
        file.rename(tmp_path / "secret.npz")
    elif damage == "torn":
        file.write_bytes(file.read_bytes()[:100])
    elif damage == "shape":
        np.savez(file, clean=np.zeros((2, 3), np.uint8), delta=np.zeros((2, 3), np.float16))
    else:
        np.savez(file, clean=np.array([{}]), delta=np.array([{}]))
    page = report(run).read_text()
    assert "not shown" in page and "data-player=" not in page


def test_what_is_not_a_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="does not exist"):
        report([tmp_path / "nothing"])
    with pytest.raises(RunError, match="no run directory"):
        report([])


def test_no_torch_is_imported(run):
    code = f"import sys; from vidrobust.report import report; report([{str(run)!r}]); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_importing_figures_does_not_import_plotly_or_scipy():
    code = "import sys, vidrobust.report; print(sorted({'plotly', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
