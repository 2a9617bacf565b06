"""The deck in a real headless Chromium: presented by keyboard, with its speaker view, and printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from vidrobust.results.pages.deck import deck, standard_script

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def url(synthetic, tmp_path_factory) -> str:
    rows = synthetic.rows(seeds=1)
    run = synthetic.write(tmp_path_factory.mktemp("deck") / "run", rows)
    script = run.parent / "talk.md"
    script.write_text(standard_script(rows) + "\n---\n\n# Clips\n\n{{player}}\n")
    return deck(run, script=script).as_uri()


@pytest.fixture(scope="module")
def page(browser, url) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light")
    opened = context.new_page()
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto(url)
    opened.wait_for_function("window.Reveal && Reveal.isReady()")
    yield opened
    context.close()


def to(page: Any, number: int) -> Any:
    """Go to a slide, counted from 0, and give it."""
    page.evaluate(f"Reveal.slide({number})")
    return page.locator("section.present")


def test_arrows_lead_through_all_slides_and_draw_their_figures(page):
    titles, drawn = [], 0
    for number in range(12):
        slide = page.locator("section.present")
        titles.append(slide.locator("h1").text_content())
        figures = slide.locator("figure")
        for figure in figures.all():
            figure.locator(".plot.js-plotly-plot").wait_for()
            drawn += 1
        heights = slide.evaluate("slide => [slide.scrollHeight, slide.getBoundingClientRect().bottom]")
        assert heights[0] <= 720 and heights[1] <= 721, titles[-1]  # nothing is cut
        if number < 11:
            page.keyboard.press("ArrowRight")
            page.wait_for_function(f"Reveal.getIndices().h === {number + 1}")
    assert titles[0].startswith("Challenges") and titles[-1] == "Clips" and drawn == 7


def test_a_slider_moves_by_keyboard_without_turning_the_slide(page):
    slide = to(page, 7)
    slider = slide.locator("input[type=range]")
    before = slide.locator(".plot").evaluate("plot => plot.data[0].y")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    assert slide.locator(".plot").evaluate("plot => plot.data[0].y") != before
    assert page.evaluate("Reveal.getIndices().h") == 7
    slider.evaluate("input => input.blur()")


def test_the_key_d_switches_between_light_and_dark(page):
    colour = "getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(colour)
    page.keyboard.press("d")
    assert page.evaluate(colour) != before
    page.keyboard.press("d")
    assert page.evaluate(colour) == before


def test_the_formulas_are_drawn(page):
    sizes = to(page, 3).locator("math").evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
    assert len(sizes) == 2 and min(sizes) > 200
    tall = 'all => all.filter(one => "()[]".includes(one.textContent)).map(one => one.getBoundingClientRect().height)'
    brackets = to(page, 3).locator("math mo").evaluate_all(tall)
    assert brackets and max(brackets) < 2 * min(brackets)  # smaller below "arg max", and none stretched


def test_clips_play_on_a_slide(page):
    slide = to(page, 11)
    slide.locator("[data-ready]").wait_for()
    slide.locator('[data-part="forward"]').click()
    assert slide.locator('[data-part="at"]').text_content() == "2 / 8"


def test_the_speaker_sees_the_notes(page):
    to(page, 0)
    with page.expect_popup() as waiting:
        page.keyboard.press("s")
    notes = waiting.value
    notes.wait_for_function(
        "document.querySelector('.speaker-controls-notes .value')?.innerText.includes('typed by hand')"
    )
    notes.close()


def test_nothing_was_said_and_nothing_was_asked_for(page, url):
    assert page.said == []
    assert {asked.split("?")[0].split("#")[0] for asked in page.asked} == {url}  # the speaker view opens the deck again


def test_the_deck_prints_a_page_for_every_slide(browser, url, synthetic, tmp_path):
    run = synthetic.write(tmp_path / "run", synthetic.rows(seeds=1))
    script = tmp_path / "short.md"
    script.write_text("# One\n\n---\n\n# Two\n\n{{figure sensitivity 4}}\n\n---\n\n# Three\n\n{{figure robustness}}\n")
    context = browser.new_context()
    printed = context.new_page()
    printed.goto(deck(run, script=script).as_uri() + "?print-pdf")
    printed.wait_for_function("document.documentElement.dataset.printable === 'true'")
    pictures = printed.locator(".plot img").evaluate_all("all => all.map(one => one.src.slice(0, 15))")
    assert pictures == ["data:image/png;", "data:image/png;", "data:image/svg+"]
    pdf = printed.pdf(prefer_css_page_size=True, print_background=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 3
    context.close()


def test_a_telephone_scrolls_the_slides(browser, url):
    context = browser.new_context(viewport={"width": 360, "height": 740})
    small = context.new_page()
    small.goto(url)
    small.wait_for_function("window.Reveal && Reveal.isReady()")
    assert small.evaluate("Reveal.isScrollView() && document.documentElement.scrollWidth <= 360")
    last = small.locator("figure").last
    last.scroll_into_view_if_needed()
    last.locator(".plot.js-plotly-plot").wait_for()
    context.close()
