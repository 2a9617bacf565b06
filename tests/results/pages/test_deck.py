from __future__ import annotations

import base64
import re
import subprocess
import sys

import pytest

from vidrobust.errors import InputError, RunError
from vidrobust.results.pages.deck import deck, standard_script
from vidrobust.results.pages.markup import Html
from vidrobust.results.pages.slides import Writer, split


@pytest.fixture(scope="module")
def run(synthetic, tmp_path_factory):
    return synthetic.write(tmp_path_factory.mktemp("deck") / "run", synthetic.rows(seeds=1))


def test_the_deck_has_the_seeds_slides_in_order(run):
    path = deck(run)
    assert path == run / "deck.html" and path.stat().st_size < 6e6
    page = path.read_text()
    titles = re.findall(r"<section[^>]*>\s*<h1>(.*?)</h1>", page)
    assert titles == [
        "Challenges on Adversarial Training for Videos", "Outline", "Standard training", "Video attacks",
        "Sensitivity of PGD parameters", "Sensitivity of PGD parameters", "Sensitivity of PGD parameters", "AT results",
        "Generalisation gap", "What this run found", "Thank you!",
    ]  # fmt: skip
    assert page.count("data-figure=") == 7 and page.count("<math ") == 2 and page.count('class="notes"') == 10
    assert "<b>top-1 = 96.7 % (91.7 to 98.7 over clips; 120 clips)</b>" in page
    assert re.findall(r'(?:src|href)="(?!data:)[^"]*"', page.split("<script")[0]) == []
    assert "Copyright (C)" in page and "MIT" in page  # of reveal.js, whose words go where it goes


def test_the_speaker_is_told_what_the_intervals_are_over(synthetic, run, tmp_path):
    old = deck(run, tmp_path / "old.html").read_text()
    assert "Intervals: 95 % Wilson intervals over the clips, each as if of a source of its own" in old
    rows = [synthetic.accuracy("standard", seed, "test", 0.9, 120) for seed in range(3)]
    for row in rows:
        row |= {"right": "1" * row["top1"] + "0" * (120 - row["top1"]), "within": "1" * 120, "top5": 120}
    new = synthetic.write(tmp_path / "new", synthetic.with_manifests(rows))
    assert "Intervals: 95 % intervals over 12 sources and 3 seeds. The single-frame control" in deck(new).read_text()
    nothing = synthetic.write(tmp_path / "nothing", [])
    assert "Intervals: none, for nothing was measured." in deck(nothing).read_text()


def test_a_script_is_written_edited_and_read_back(run, tmp_path):
    script = tmp_path / "talk.md"
    deck(run, tmp_path / "deck.html", script)
    words = script.read_text()
    assert "{{figure sensitivity 4}}" in words and "{{figure robustness}}" in words
    own = "# Mine\n\nof the run {{run}}\n\n{{figure training}}\n\nNote:\nSay *hello*.\n"
    slides = words.split("\n---\n")
    script.write_text("\n---\n".join([slides[-1], own, slides[1]]))
    page = deck(run, tmp_path / "deck.html", script).read_text()
    assert re.findall(r"<h1>(.*?)</h1>", page) == ["Thank you!", "Mine", "Outline"]
    assert '<aside class="notes"><p>Say <em>hello</em>.</p>' in page and "of the run run" in page
    assert page.count("data-figure=") == 1
    assert script.read_text() == "\n---\n".join([slides[-1], own, slides[1]])  # what a lecturer wrote is kept


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("{{figure nonsense}}", "no figure 'nonsense'.*robustness"),
        ("{{figure}}", "no figure ''"),
        ("{{figure sensitivity}}", "needs one ε"),
        ("{{formula x}}", "no formula 'x'.*pgd"),
        ("{{nothing}}", r"line 1 asks for \{\{nothing\}\}. There is: accuracies"),
        ("a {{nothing}} b", "asks for"),
        ("a {{claims}} b", "own line"),
        ("![x](../secret.png)", "not a file"),
        ("![x](https://example.org/x.png)", "not a file"),
        ("", "no slides"),
    ],
)
def test_what_a_script_cannot_have_is_said(run, tmp_path, words, told):
    script = tmp_path / "talk.md"
    (tmp_path.parent / "secret.png").write_bytes(b"x")
    script.write_text(words)
    with pytest.raises(InputError, match=told):
        deck(run, tmp_path / "deck.html", script)


def test_pictures_are_put_into_the_deck(run, tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture")
    (tmp_path / "talk.md").write_text("![two <b>words](a.png)")
    page = deck(run, tmp_path / "deck.html", tmp_path / "talk.md").read_text()
    assert f'alt="two &lt;b&gt;words" src="data:image/png;base64,{base64.b64encode(b"picture").decode()}"' in page


def test_markup_in_a_script_or_a_value_is_text():
    writer = Writer({"x": lambda words: Html("<hr>")}, {"name": "<b>*bold*</b> ![x](http://y)"})
    (slide,) = split("<script>alert(1)</script> {{name}}\n\n{{x}}")
    made = writer.section(slide)
    assert "<script>" not in made and "<b>" not in made and "<img" not in made and "<em>" not in made
    assert "<hr>" in made and "*bold*" in made


def test_a_rule_inside_code_does_not_part_slides():
    assert [slide.text for slide in split("# A\n```\n---\n```\n---\n# B\n")] == ["# A\n```\n---\n```", "# B"]


def test_a_deck_of_an_unfinished_run_says_what_is_missing(synthetic, tmp_path):
    rows = [row for row in synthetic.rows(seeds=1) if row["kind"] in ("dataset", "step_size")]
    page = deck(synthetic.write(tmp_path / "run", rows, examples=0)).read_text()
    assert page.count("data-figure=") == 1 and page.count('class="missing"') >= 5
    assert "step 6 (accuracy against ε) is missing" in page
    assert standard_script([]).count("{{figure sensitivity") == 2
    with pytest.raises(RunError):
        deck(tmp_path / "nothing")


def test_no_torch_and_no_sphinx_is_imported(run):
    code = (
        f"import sys; from vidrobust.results.pages.deck import deck; deck({str(run)!r}); "
        "print(sorted({'torch', 'sphinx', 'sphinx_revealjs'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
