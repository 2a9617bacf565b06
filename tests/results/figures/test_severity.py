"""The heat map over severities says what its rows say, and its words agree with it."""

from __future__ import annotations

import pytest
from helpers import synthetic_run as synthetic

from vidrobust.results.figures import corruptions
from vidrobust.results.figures.severity import CORRUPTIONS_FIGURE, corruption_panels, corruption_tables
from vidrobust.results.numbers.selection import MissingRowsError

ROWS = [synthetic.manifest(), *synthetic.corrupted(synthetic.QUICK)]


def test_each_cell_is_the_share_of_its_row() -> None:
    drawing = corruptions(ROWS, "AT(ε=8,α=8,i=3)", "ucf101-p")
    trace = drawing.data[0]
    shares = {(row["corruption"], str(row["severity"])): 100 * row["correct"] / row["clips"]
              for row in ROWS if row.get("model") == "AT(ε=8,α=8,i=3)"}  # fmt: skip
    for kind, line in zip(trace.y, trace.z, strict=True):
        for severity, value in zip(trace.x, line, strict=True):
            assert value == pytest.approx(shares["none" if severity == "0" else kind, severity])
    assert "Hardest: extra" in drawing.layout.meta["alt"]


def test_there_is_a_map_for_each_model_and_a_table_of_all() -> None:
    assert len(corruption_panels(ROWS)) == len(synthetic.QUICK)
    summary, *cells = corruption_tables(ROWS)
    assert [line[0].text for line in summary.lines] == list(synthetic.QUICK)
    assert summary.head[-1] == "mCE (%) against standard"
    assert summary.lines[0][-1].value == pytest.approx(100)
    assert {line[1].text for line in summary.lines} == {"2"}  # the kind beside does not count
    assert len(cells) == len(synthetic.QUICK)
    assert [line[0].text for line in cells[0].lines] == ["jpeg", "jumble", "extra (beside)"]
    for line in cells[0].lines:
        assert all(cell.low <= cell.value <= cell.high for cell in line[1:6])


def test_a_run_without_corruptions_says_so() -> None:
    with pytest.raises(MissingRowsError, match="--corruption"):
        CORRUPTIONS_FIGURE.panels(synthetic.rows(seeds=1))  # type: ignore[misc]
    with pytest.raises(MissingRowsError, match="under minikinetics-c"):
        corruptions(ROWS, "standard", "minikinetics-c")
    assert corruption_tables([]) == []


def test_words_say_what_intervals_are_clustered_by() -> None:
    (_, one, *_), (summary, several, *_) = (
        corruption_tables([*ROWS, *({**row, "seed": seed} for row in ROWS[1:] for seed in range(1, seeds))])
        for seeds in (1, 3)
    )
    assert "95 % intervals clustered by source;" in one.caption
    assert "95 % intervals clustered by source and seed;" in several.caption and "and seed" in summary.caption
