from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vidrobust.errors import RunError
from vidrobust.results.numbers.intervals import interval
from vidrobust.results.numbers.selection import WORST_CASE
from vidrobust.results.pages.deck import deck
from vidrobust.results.pages.report import report


@pytest.fixture
def run(synthetic, tmp_path):
    return synthetic.write(tmp_path / "run", synthetic.rows(seeds=1))


def test_the_page_is_one_small_file_in_the_run(run):
    path = report([run])
    assert path == run / "report.html"
    assert path.stat().st_size < 6e6
    assert [child.name for child in run.iterdir() if child.name.endswith(".tmp")] == []
    assert report([run], run / "other.html").read_bytes() == path.read_bytes()  # and nothing in it is of the hour


def test_class_and_file_names_are_text(run):
    page = report(run).read_text()
    assert "<script>alert" not in page and "<b>bad</b>" not in page and "<i>synthetic</i>" not in page
    assert "&lt;script&gt;alert(&#x27;class&#x27;)&lt;/script&gt;" in page and "\\u003cscript>alert" in page
    assert page.count("</script>") == 4


def test_first_screen_answers_with_counts(run):
    page = report(run).read_text()
    first = page[page.index('<section id="overview">') : page.index('<section id="standard">')]
    for told in (
        "7 models evaluated, 5 of them adversarially trained, 6 attacked; one seed each",
        "120 test",
        "Skipped files: 1",
        "Most robust at ε=4/255",
        "26.7 % (19.6 to 35.2 over clips; 120 clips)",
        "36 of 36 passed",
    ):
        assert told in first
    assert re.search(r"\d+ reproduced</span>.*\d+ not reproduced</span>.*\d+ undecided</span>", first)
    assert first.count('class="track"') == 6  # every model that was attacked, with its interval
    assert re.search(
        r'aria-label="[\d.]+ % \([\d.]+ to [\d.]+ over clips; 120 clips\); without attack [\d.]+ %"', first
    )


def test_first_screen_has_the_worst_case_where_the_run_has_it(run, synthetic, tmp_path):
    rows = synthetic.rows(seeds=1)
    weak, strong = "AT(ε=8,α=8,i=3)", "AT(ε=8,α=2,i=10)"
    worst = [
        row | {"search": WORST_CASE, "loss": "", "steps": 0, "alpha": 0.0, "attack": "worst case"}
        | {"survived": right * "1" + (row["clips"] - right) * "0", "correct": right}
        for model, right in ((weak, 40), (strong, 20))
        for row in rows
        if (row["kind"], row.get("model"), row.get("eps"), row.get("steps")) == ("robustness", model, 8, 20)
    ]  # fmt: skip
    page = report(synthetic.write(tmp_path / "worst", rows + worst)).read_text()
    first, before = (
        one.partition('<section id="overview">')[2].partition("</section>")[0]
        for one in (page, report(run).read_text())
    )
    told = re.sub(r"<wbr>|</?span[^>]*>", "", first)
    assert f"In the worst case of all attacks, at ε=8/255: {weak}, 33.3 % (" in told
    assert first.count('class="track"') == before.count('class="track"') + 2
    assert told.rindex(weak) < told.rindex(strong) and "In the worst case" not in before


def test_every_part_stands_in_the_order_of_the_slides(run):
    page = report(run).read_text()
    parts = re.findall(r'<section id="([\w-]+)">', page)
    assert parts == [
        "overview", "standard", "sensitivity", "step-size", "accuracy", "schedules", "training", "gap", "difficulty",
        "clips", "claims", "checks", "cost", "origin",
    ]  # fmt: skip
    assert re.findall(r'<li><a href="#([\w-]+)">', page) == parts


def test_costs_are_those_of_the_timings(run):
    page = report(run).read_text()
    assert "3 jobs took 360,000 gradients of single clips, 1.6 minutes of work" in page
    assert "train standard<" in page and "240,000" in page and "&lt;b&gt;sweep&lt;/b&gt;" in page


def test_two_runs_stand_side_by_side_with_what_differs(synthetic, tmp_path):
    runs = []
    for name, clips in (("one", 120), ("two", 60)):
        runs.append(synthetic.write(tmp_path / name, synthetic.rows(seeds=1, clips=clips)))
    config = json.loads((runs[1] / "config.json").read_text()) | {"profile": "full"}
    (runs[1] / "config.json").write_text(json.dumps(config))
    page = report(runs, tmp_path / "two.html").read_text()
    for label in ("A: one", "B: two"):
        assert page.count(f'class="run-name">{label}') == 14
    assert re.search(
        r'profile</th><td data-label="A: one">&quot;quick&quot;</td><td data-label="B: two">&quot;full', page
    )
    assert "data.size" not in page  # what is the same in both is not listed
    assert "Accuracy of B: two minus A: one under PGD(i=20)" in page and "over clips" in page


def test_several_attacks_get_a_radar(synthetic, tmp_path):
    rows = synthetic.rows(seeds=1) + synthetic.several_attacks(synthetic.QUICK)
    page = report(synthetic.write(tmp_path / "run", rows)).read_text()
    assert '<section id="radar">' in page and "PGD(ε=8,i=20),\\u003cbr>Border" in page


def test_clips_stand_beside_whole_videos(synthetic, tmp_path, run):
    rows = synthetic.several_views({"standard": (0.9, 5.0)})
    page = report(synthetic.write(tmp_path / "views", rows, kind="evaluate")).read_text()
    part = re.search(r'<section id="views">.*?</section>', page, re.DOTALL)
    assert part is not None
    lines = re.findall(r"<tr><th scope=\"row\">.*?</tr>", part[0])
    assert len(lines) == 3
    for line, counted, attacked in zip(lines, ("clips", "videos", "videos"), ("clip", "clip", "video"), strict=True):
        mine = [r for r in rows if r["level"] == counted[:-1] and r["attacked"] in (attacked, "none")]
        told = [f"{row['correct']} of {row['clips']} {counted}</small>" for row in mine]
        assert re.findall(r"\d+ of \d+ \w+</small>", line) == told  # clean, then by ε, each with its own count
        low, high = interval(mine[1]["correct"], mine[1]["clips"])
        assert f"({100 * low:.1f}–{100 * high:.1f})" in line
    assert "From 8 views rows of views" in part[0]
    assert 'id="views"' not in report(run).read_text()


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
    assert "This run lacks: standard accuracy, sensitivity, accuracy against ε, training curves" in page
    assert "step 6 (accuracy against ε) is missing" in page and page.count("data-figure=") == 1


def test_a_study_that_was_killed_between_models_names_those_it_lacks(synthetic, tmp_path):
    run = synthetic.write(tmp_path / "run", synthetic.rows(seeds=2))
    asked = {"policies": [*list(synthetic.QUICK)[1:], "AT(ε=4,α=4,i=5)"], "seeds": 3}
    (run / "config.json").write_text(json.dumps(json.loads((run / "config.json").read_text()) | asked))
    page = report(run).read_text()
    assert "This run lacks: training of 8 of 18 models and seeds, accuracy against ε of 8 of 18" in page
    assert "AT(ε=4,<wbr>α=4,<wbr>i=5)</span>, seeds 0, 1, 2" in page
    assert "AT(ε=8,<wbr>α=8,<wbr>i=3)</span>, seeds 2" in page


@pytest.mark.parametrize(("kind", "said"), [("study", "step 6"), ("train", "vidrobust evaluate measures them")])
def test_what_measures_accuracies_under_attack_is_named(synthetic, tmp_path, kind, said):
    rows = [row for row in synthetic.rows() if row["kind"] in ("dataset", "accuracy", "epoch")]
    page = report(synthetic.write(tmp_path / "run", rows, examples=0, kind=kind)).read_text()
    (note,) = re.findall("No accuracies under attack yet: [^<]*", page)
    assert said in note


def test_a_whole_study_of_another_seed_lacks_nothing(synthetic, tmp_path):
    rows = [row | {"seed": row["seed"] + 3} if "seed" in row else row for row in synthetic.rows(seeds=2)]
    run = synthetic.write(tmp_path / "run", rows)
    asked = {"policies": list(synthetic.QUICK)[1:], "seed": 3, "seeds": 2}
    (run / "config.json").write_text(json.dumps(json.loads((run / "config.json").read_text()) | asked))
    assert "models and seeds" not in report(run).read_text()


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
    code = f"import sys; from vidrobust.results.pages.report import report; report([{str(run)!r}]); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "torch" not in done.stdout.split()


def test_importing_figures_does_not_import_plotly_or_scipy():
    code = "import sys, vidrobust.results.pages.report; print(sorted({'plotly', 'scipy'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize("page", [lambda run: report([run]), deck], ids=["report", "deck"])
def test_control_and_formatting_characters_of_names_are_not_in_the_page(page, synthetic, tmp_path):
    """ESC, a bell, what turns text around: in names of models, classes and files, also inside the page's JSON."""
    odd = "AT\x1b[31m\u202e\u2066ε\x07"
    rows = [{**row, "model": odd} if row.get("model", "").startswith("AT") else row for row in synthetic.rows(seeds=1)]
    damaged = {"classes": [odd, "b", "c", "d"], "damaged": [{"file": odd, "reason": odd}]}
    rows = [{**row, **damaged} if row["kind"] == "dataset" else row for row in rows]
    shown = Path(page(synthetic.write(tmp_path / "run", rows))).read_text()
    assert "AT�[31m��ε�" in shown
    assert not [one for one in "\x1b\u202e\u2066\x07" if one in shown or f"\\u{ord(one):04x}" in shown]


def test_clips_that_were_attacked_again_under_the_margin_are_told_of(synthetic, tmp_path):
    """In the overview's checks, the caption of the accuracies, and the text of the point."""
    rows = synthetic.rows(seeds=1)
    again = {"no_gradient": 0, "retried": {"loss": "margin", "clips": 7, "broken": 5}}
    rows = [{**row, **again} if row["kind"] == "robustness" and row["eps"] == 8 else row for row in rows]
    page = report([synthetic.write(tmp_path / "run", rows)]).read_text()
    assert "7 of 120 clips under PGD" in page and "under the margin loss, which broke 5" in page
    caption = "Clips without a gradient under cross-entropy, up to 7 of 120, were attacked again under the margin loss"
    assert page.count(caption) >= 2
    assert "7 clips had no gradient under cross-entropy" in page
    untouched = report([synthetic.write(tmp_path / "other", synthetic.rows(seeds=1))]).read_text()
    assert "attacked again" not in untouched


def test_a_note_in_the_run_stands_beside_the_verdicts(run):
    assert 'class="remark"' not in report(run).read_text()
    (run / "note.txt").write_text("Five seeds were added <i>after</i> a look.\n")
    told = '<p class="remark">Five seeds were added &lt;i&gt;after&lt;/i&gt; a look.</p>'
    page, slides = report(run).read_text(), deck(run).read_text()
    for part in ("overview", "claims"):
        assert told in page.partition(f'<section id="{part}">')[2].partition("</section>")[0]
    assert told in slides.partition("What this run found")[2].partition("</section>")[0]


def test_a_note_that_nobody_would_read_is_refused(run):
    (run / "note.txt").write_text("." * 10_001)
    with pytest.raises(RunError, match="note.txt has 10001 bytes"):
        report(run)


def test_the_table_on_photographs_alone_is_found_by_its_name(synthetic, tmp_path):
    rows = synthetic.with_manifests(synthetic.rows(seeds=1))
    rows = [row | {"photographs": ["g01", "g04"]} if row["kind"] == "dataset" else row for row in rows]
    part = report(synthetic.write(tmp_path / "run", rows)).read_text().partition('<section id="accuracy">')[2]
    assert "<summary>On photographs alone</summary>" in part.partition("</section>")[0]
