"""The page of a running study: written as jobs end, and left as the final one."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import synthetic_run as synthetic

from vidrobust.results.pages.report import PAGE, VERSION_FILE
from vidrobust.runs.directory import Run
from vidrobust.study import live_page
from vidrobust.study.live_page import LivePage


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.open(synthetic.write(tmp_path / "run", [synthetic.dataset()], examples=0))


def test_it_is_written_when_jobs_have_ended_and_replaced_in_the_end(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_page, "SHARE", float("inf"))  # as if writing took no time
    rows = synthetic.rows(seeds=1)
    with LivePage(run) as live:
        live.show(0, 9, [])
        first = (run.path / VERSION_FILE).read_text()
        assert "0 of 9 jobs have ended" in (run.path / PAGE).read_text()
        live.show(0, 9, [])
        assert (run.path / VERSION_FILE).read_text() == first  # nothing is new
        live.show(3, 9, rows)
        text = (run.path / PAGE).read_text()
        assert "3 of 9 jobs have ended" in text and "CAL(ε~U(0,12),α=ε,i=i*)" in text
        assert (run.path / VERSION_FILE).read_text() != first
        run.append(rows)
    assert not (run.path / VERSION_FILE).exists()
    assert "jobs have ended" not in (run.path / PAGE).read_text()


def test_it_gives_signs_of_life_while_nothing_is_new(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(live_page.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(live_page.time, "time", lambda: clock[0])
    monkeypatch.setattr(live_page, "live_report", lambda *asked: None)
    monkeypatch.setattr(live_page, "report", lambda runs: None)
    signs = []
    with LivePage(run) as live:
        for _ in range(12):
            live.show(0, 9, [])
            version, _, alive = (run.path / VERSION_FILE).read_text().partition("; ")
            signs.append((version, alive.strip()))
            clock[0] += 1.0
    assert len({version for version, _ in signs}) == 1
    assert list(dict.fromkeys(alive for _, alive in signs)) == [
        f"window.vidrobustAlive = {second};" for second in (1000, 1005, 1010)
    ]


def test_it_takes_only_a_small_part_of_the_time(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def slow(*asked: object) -> None:
        clock[0] += 2.0

    monkeypatch.setattr(live_page.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(live_page, "live_report", slow)
    monkeypatch.setattr(live_page, "report", lambda runs: None)
    with LivePage(run) as live:
        written = []
        for done in range(1, 251):
            clock[0] += 1.0
            before = clock[0]
            live.show(done, 300, [])
            written.append(clock[0] > before)
    assert written[0] and 2 <= sum(written) <= 4  # two seconds of every hundred


def test_an_error_leaves_the_page_as_far_as_the_run_came(run: Run) -> None:
    with pytest.raises(KeyError), LivePage(run) as live:
        live.show(1, 9, synthetic.rows(seeds=1))
        raise KeyError
    assert not (run.path / VERSION_FILE).exists()
    assert "data-live=" not in (run.path / PAGE).read_text()
