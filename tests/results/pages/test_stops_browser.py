"""At every stop of every slider, what stands beside a figure says what is shown: caption, words, table and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import pytest

from vidrobust.results.pages.report import report

pytestmark = pytest.mark.long

SECTIONS = ("accuracy", "schedules", "training", "watched", "gap", "views", "difficulty")


@pytest.fixture(scope="module")
def page(browser, synthetic, tmp_path_factory) -> Iterator[Any]:
    watched = [
        {"kind": "watch", "model": model, "seed": 0, "epoch": epoch, "split": split, "clean": 9 - epoch, "single": 4,
         "robust": epoch, "clips": 9, "loss": 1.0 / epoch, "robust_loss": 2.0, "eps": 8.0, "alpha": 2.0, "steps": 5}
        for model in ("standard", "AT(ε=8,α=8,i=3)") for epoch in (1, 2, 3) for split in ("train", "val")
    ]  # fmt: skip
    few = [row | {"correct": 7, "clips": 20, "survived": "1" * 7 + "0" * 13} for row in synthetic.rows(seeds=1)
           if row["kind"] == "robustness" and row["eps"] == 4]  # fmt: skip
    other = [row | {"eps": 3, "model": "AT(ε=8,α=8,i=3)", "alpha": 0.7} for row in few[:1]]
    views = [row for count in (5, 10) for row in synthetic.several_views(synthetic.QUICK, views=count)]
    rows = [*synthetic.rows(seeds=1), *views, *watched, *other]
    rows.append(synthetic.epoch("CAL(ε~U(0,12),α=α*,i=5), watched", 0, 16) | {"clips": 96, "correct": 90})
    run = synthetic.write(tmp_path_factory.mktemp("stops") / "run", rows)
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened = context.new_page()
    opened.goto(report(run).as_uri())
    opened.wait_for_function("window.Plotly !== undefined")
    yield opened
    context.close()


def figure_of(page: Any, section: str) -> Any:
    found = page.locator(f"#{section} figure").first
    found.scroll_into_view_if_needed()
    found.locator(".plot.js-plotly-plot").wait_for()
    return found


def saved(page: Any, figure: Any) -> list[list[str]]:
    with page.expect_download() as waiting:
        figure.get_by_role("button", name="as CSV").press("Enter")
    with open(waiting.value.path(), encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(io.StringIO(file.read())))[1:]


SHOWN = """plot => plot.data.filter(trace => trace.visible === true).map(trace => ({
  name: trace.name, x: Array.from(trace.x), y: Array.from(trace.y) }))"""


def at_stop(figure: Any, number: int) -> str:
    """Move a slider; the label of its stop once the page shows it."""
    slider = figure.locator("input[type=range]")
    slider.evaluate(
        "(input, n) => { input.value = n; input.dispatchEvent(new Event('input', { bubbles: true })) }", number
    )
    return slider.get_attribute("aria-valuetext")


@pytest.mark.parametrize("section", SECTIONS)
def test_caption_words_table_and_csv_are_those_of_the_stop(page, section):
    figure = figure_of(page, section)
    slider, lines = figure.locator("input[type=range]"), saved(page, figure)
    stops = int(slider.get_attribute("max")) + 1
    assert stops > 1
    captions = []
    for number in range(stops):
        stop = at_stop(figure, number)
        drawn = figure.locator(".plot").evaluate(SHOWN)
        assert drawn
        caption, words = (
            figure.locator("figcaption").text_content(),
            figure.locator(".plot").get_attribute("aria-label"),
        )
        assert caption == words or words.startswith(caption.removesuffix("."))
        captions.append(words)
        assert stop in (figure.locator("output").text_content() or "")
        for series in drawn:  # the CSV has what is drawn, under the name of the stop
            mine = [line for line in lines if line[0] == series["name"] and line[1] == stop]
            told = [(float(x), None if y == "" else float(y)) for _, _, x, y, *_ in mine]
            assert told == [
                (x, y if y is None else pytest.approx(y)) for x, y in zip(series["x"], series["y"], strict=True)
            ]
            ends = [y for y in series["y"] if y is not None][-1:]
            if section == "accuracy":
                assert f"{series['name']}: " in words and f"to {ends[0]:.0f} % at" in words
        if section in ("accuracy", "gap", "difficulty") and "mean" not in stop:
            told = f"PGD({stop})" if section == "accuracy" else stop
            assert told in words and told in caption
    assert len(set(captions)) == stops  # none says the same of two
    at_stop(figure, int(slider.get_attribute("value") or 0))


def test_the_table_below_the_accuracies_is_that_of_the_stop(page):
    figure = figure_of(page, "accuracy")
    for number, stop in enumerate(("i=5", "i=20")):
        assert at_stop(figure, number) == stop
        (table,) = (one for one in page.locator("#accuracy [data-stop]").all() if one.is_visible())
        assert table.get_attribute("data-stop") == stop and f"PGD({stop})" in table.locator("caption").text_content()
        head = table.locator("thead th").all_text_contents()
        drawn = {
            one["name"]: dict(zip(one["x"], one["y"], strict=True)) for one in figure.locator(".plot").evaluate(SHOWN)
        }
        for line in table.locator("tbody tr").all():
            name, cells = line.locator("th").text_content(), line.locator("td").all_text_contents()
            told = {
                float(column.removeprefix("ε=")): float(cell.split()[0])
                for column, cell in zip(head[1:], cells, strict=True)
                if column.startswith("ε=") and cell != "–"
            }
            assert told == {x: pytest.approx(y, abs=0.051) for x, y in drawn[name].items()}


def test_trainings_of_another_length_are_told_apart(page):
    words = figure_of(page, "training").locator(".plot").get_attribute("aria-label")
    assert "7 models: 6 over 12 epochs of 400 clips, 1 over 16 epochs of 96 clips" in words
    first = page.locator("#overview").text_content()
    assert "7 models evaluated, 5 of them adversarially trained, 6 attacked" in first
    assert "1 more trained, and not evaluated as such: CAL(ε~U(0,12),α=α*,i=5), watched" in first


def test_the_tool_bar_is_hidden_until_the_pointer_is_over_the_figure(page):
    figure = figure_of(page, "training")
    page.mouse.move(0, 0)
    groups = "[...document.querySelectorAll('#training .modebar-group')].map(one => getComputedStyle(one).opacity)"
    page.wait_for_function(f"{groups}.every(opacity => opacity === '0')")
    figure.locator(".plot").hover()
    page.wait_for_function(f"{groups}.every(opacity => opacity === '1')")


def test_the_contents_mark_the_part_however_quickly_one_jumps(page):
    links = page.locator(".contents a")
    marked = "document.querySelector('.contents a[aria-current]').hash"
    for number in (0, 5, 1, links.count() - 1, 2, links.count() - 2, 3):
        page.evaluate("n => { for (const at of [n + 1, 0, n]) [...document.querySelectorAll('.contents a')].at(at % "
                      "document.querySelectorAll('.contents a').length).click() }", number)  # fmt: skip
        page.wait_for_function(f"{marked} === '{links.nth(number).get_attribute('href')}'")
    page.evaluate("document.documentElement.scrollTop = 0")
    page.wait_for_function(f"{marked} === '#overview'")
    page.evaluate("document.documentElement.scrollTop = 1e9")
    page.wait_for_function(f"{marked} === '#origin'")
