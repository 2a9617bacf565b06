"""The page of a running study in a real browser: it shows what is new by itself, where the reader was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vidrobust.results.pages.report import PAGE, VERSION_FILE, Live, live_report, report
from vidrobust.runs.directory import Run

pytestmark = pytest.mark.long


@pytest.fixture
def run(synthetic, tmp_path) -> Run:
    """A study of which only the data are there."""
    return Run.open(synthetic.write(tmp_path / "run", [synthetic.dataset()], examples=0))


@pytest.fixture
def page(browser) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened = context.new_page()
    opened.requests, opened.troubles = [], []
    opened.on("request", lambda request: opened.requests.append(request.url))
    opened.on("pageerror", lambda error: opened.troubles.append(str(error)))
    yield opened
    context.close()


def write(run: Run, ahead: list[dict[str, Any]], version: str, silent: float = 0) -> Path:
    """The page of a study whose last sign of life was so many seconds ago."""
    live = Live(version, f"{len(ahead)} rows.")
    path = live_report(run, ahead, live)
    (run.path / VERSION_FILE).write_text(live.script(time.time() - silent))
    return path


def version(page: Any, wanted: str | None) -> None:
    page.wait_for_function("wanted => (document.documentElement.dataset.live ?? null) === wanted", arg=wanted)


def test_what_is_new_is_shown_by_itself_where_the_reader_was(run: Run, synthetic, page) -> None:
    rows = synthetic.with_manifests(synthetic.rows(seeds=1))
    early = [row for row in rows if row["kind"] in ("manifest", "accuracy", "epoch")]
    page.goto(write(run, early, "one").as_uri())
    version(page, "one")
    assert "This study is running" in page.locator("#live").inner_text()
    assert page.locator("#accuracy figure").count() == 0  # not measured yet
    training = page.locator("#training figure")
    training.scroll_into_view_if_needed()
    training.locator(".plot.js-plotly-plot").wait_for()
    training.locator("input[type=range]").press("ArrowRight")
    shown = training.locator("output").inner_text()
    assert shown == "showing accuracy"
    page.locator("#theme").click()
    before = training.bounding_box()["y"]

    write(run, rows, "two")
    version(page, "two")
    training.locator(".plot.js-plotly-plot").wait_for()
    page.wait_for_function("document.querySelector('#training output').textContent === 'showing accuracy'")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert abs(training.bounding_box()["y"] - before) < 200  # parts above it are new and longer
    assert page.locator("#accuracy figure").count() == 1

    run.append(rows)
    assert report(run.path) == run.path / PAGE
    (run.path / VERSION_FILE).unlink()
    version(page, None)
    assert page.locator("#live").count() == 0
    assert not page.troubles
    own = {run.path / PAGE, run.path / VERSION_FILE}
    assert {
        Path(url.removeprefix("file://").partition("?")[0]) for url in page.requests if url.startswith("file:")
    } == own
    assert not [url for url in page.requests if url.startswith("http")]


def test_a_live_page_without_its_study_is_a_page(run: Run, synthetic, page) -> None:
    """Copied elsewhere, it neither reloads for ever nor says that something runs."""
    path = write(run, synthetic.rows(seeds=1), "one")
    (run.path / VERSION_FILE).unlink()
    page.goto(path.as_uri())
    page.wait_for_function("document.getElementById('live').hidden")
    assert len([url for url in page.requests if url.endswith(PAGE)]) == 1


def test_the_page_of_a_killed_study_says_that_it_has_stopped_growing(run: Run, synthetic, page) -> None:
    page.goto(write(run, synthetic.rows(seeds=1), "one", silent=3600).as_uri())
    page.wait_for_function("document.querySelector('#live').innerText.includes('has stopped growing')")
    told = page.locator("#live").inner_text()
    assert "is running" not in told and "nothing was heard of it since " in told and "since ." not in told
    write(run, [], "one", silent=3000)  # the same command goes on: a sign that is new, by whatever clock
    page.wait_for_function("document.querySelector('#live').innerText.includes('is running')")
    assert "stopped" not in page.locator("#live").inner_text()
    assert not page.troubles


def test_the_final_page_carries_nothing_of_it(run: Run, synthetic) -> None:
    run.append(synthetic.rows(seeds=1))
    text = report(run.path).read_text()
    assert "data-live=" not in text and 'id="live"' not in text
    assert "script-src 'unsafe-inline' 'unsafe-eval';" in text


def test_rows_ahead_of_their_turn_count_once(run: Run, synthetic) -> None:
    rows = synthetic.rows(seeds=1)
    run.append(rows[:5])
    text = write(run, rows, "one").read_text()
    run.append(rows)
    final = report(run.path).read_text()
    assert "left out" not in text.partition("<section")[2].partition("</section>")[0]
    assert text.count("<table") == final.count("<table")
