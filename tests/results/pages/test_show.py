from __future__ import annotations

import io

import pytest

from vidrobust.errors import RunError
from vidrobust.results.pages.console import SafeConsole, sparkline
from vidrobust.results.pages.show import list_runs, show


def printed(act, *arguments, terminal=False, width=100):
    file = io.StringIO()
    act(
        *arguments,
        SafeConsole(file=file, force_terminal=terminal, width=width, color_system="standard" if terminal else None),
    )
    return file.getvalue()


@pytest.fixture(scope="module")
def run(synthetic, tmp_path_factory):
    rows = [
        r | {"model": "[red]x\x1b[2J"} if r.get("model") == "AT(ε=8,α=2,i=10)" else r for r in synthetic.rows(seeds=1)
    ]
    return synthetic.write(tmp_path_factory.mktemp("show") / "run", rows)


def test_the_answers_are_there_and_plain_without_a_terminal(run):
    text = printed(show, run)
    assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    for told in (
        "synthetic, 4 classes", "most robust at ε=4 under PGD(i=20)", "Accuracy (%) on test clips under PGD(i=20)",
        "of 120 clips each", "Claims of the slides", "undecided", "36 of 36 passed", "loss over α at ε=8",
        "360,000 gradients",
    ):  # fmt: skip
        assert told in text
    assert "│" not in text and "─" not in text and "█" in text
    assert "[red]x�[2J" in text  # a name is text: no colour, no command for the terminal
    assert max(map(len, text.splitlines())) <= 100


def test_a_terminal_gets_colours(run):
    assert "\x1b[" in printed(show, run, terminal=True)
    assert "\x1b[2J" not in printed(show, run, terminal=True)


def test_an_unfinished_run_says_what_is_missing(synthetic, tmp_path):
    rows = [row for row in synthetic.rows(seeds=1) if row["kind"] in ("dataset", "step_size")]
    text = printed(show, synthetic.write(tmp_path / "run", rows, examples=0))
    assert "missing: accuracy against ε" in text and "α* over ε, i=20" in text
    with pytest.raises(RunError):
        show(tmp_path / "nothing")


def test_the_note_of_a_run_is_shown(run):
    assert "added after" not in printed(show, run)
    (run / "note.txt").write_text("Five seeds were added after a look.\n")
    assert "Five seeds were added after a look." in printed(show, run)


def test_runs_are_listed_with_the_damaged_ones(synthetic, tmp_path):
    synthetic.write(tmp_path / "deep" / "one", synthetic.rows(seeds=1))
    synthetic.write(tmp_path / "two", [], examples=0, kind="train")
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "run.json").write_text("{")
    text = printed(list_runs, tmp_path, width=160)
    lines = {line.split()[0]: line for line in text.splitlines()[1:] if line.strip()}
    assert "study" in lines["deep/one"] and "train" in lines["two"] and "damaged" in lines["three"]
    assert "no runs in" in printed(list_runs, tmp_path / "deep" / "one" / "jobs")
    with pytest.raises(RunError, match="does not exist"):
        list_runs(tmp_path / "nothing")


def test_bars_keep_a_scale_that_is_given():
    assert sparkline([0.5], 0, 1) == "▅" and sparkline([2.0, -1.0], 0, 1) == "█▁"
