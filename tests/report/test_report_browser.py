"""The page in a real headless Chromium: everything a reader can press is pressed, and its effect is looked at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vidrobust.report import report

DRIVER = "GL Driver Message"  # software WebGL comments on its own speed; no page can prevent that


class Visit:
    """An open page that remembers what it should not have done."""

    def __init__(self, page: Any) -> None:
        self.page, self.messages, self.requests = page, [], []
        page.on("console", lambda message: self.messages.append(message.text))
        page.on("pageerror", lambda error: self.messages.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_function("window.Plotly !== undefined")

    def figure(self, heading: str) -> Any:
        """The drawn figure below a heading."""
        found = self.page.locator(f"h2:text-is('{heading}') + figure, h2:text-is('{heading}') + .pair figure").first
        found.scroll_into_view_if_needed()
        found.locator(".js-plotly-plot, .plot.js-plotly-plot").first.wait_for()
        return found

    def player(self) -> Any:
        """The clip player with its first clip loaded."""
        self.page.locator("[data-player][data-ready='0']").wait_for()
        return self.page.locator("[data-player]")

    def data(self, heading: str, expression: str) -> Any:
        """Evaluate an expression of ``plot``, the plotly element of a figure."""
        return self.figure(heading).locator(".plot").evaluate(f"plot => {expression}")


@pytest.fixture(scope="module")
def url(synthetic, tmp_path_factory) -> str:
    return report(synthetic.write(tmp_path_factory.mktemp("page") / "run", synthetic.rows(seeds=1))).as_uri()


@pytest.fixture
def visit(browser, url) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened = Visit(context.new_page())
    opened.open(url)
    yield opened
    context.close()
    assert [text for text in opened.messages if DRIVER not in text] == []
    assert opened.requests == [url]


def slide(slider: Any, value: int) -> None:
    slider.evaluate(f"input => {{ input.value = {value}; input.dispatchEvent(new Event('input', {{bubbles: true}})) }}")


def test_every_figure_is_drawn_without_a_message_or_a_request(visit):
    for holder in visit.page.locator("figure[data-figure]").all():
        if holder.is_visible():
            holder.scroll_into_view_if_needed()
            holder.locator(".plot.js-plotly-plot").wait_for()
            assert holder.locator(".plot").get_attribute("aria-label")
    assert visit.page.locator(".waiting:visible").count() == 0
    assert visit.page.locator('[role="alert"]').count() == 0


def test_every_slider_changes_its_data_by_keyboard(visit):
    for heading in ("Training", "Accuracy under attack", "Generalisation gap", "Advantage against difficulty"):
        slider = visit.figure(heading).locator("input[type=range]")
        before, told = visit.data(heading, "plot.data[0].y"), slider.get_attribute("aria-valuetext")
        slider.focus()
        visit.page.keyboard.press("ArrowLeft" if heading == "Accuracy under attack" else "ArrowRight")
        visit.page.wait_for_timeout(100)
        assert visit.data(heading, "plot.data[0].y") != before
        assert slider.get_attribute("aria-valuetext") != told


def test_published_numbers_are_hidden_until_asked_for(visit):
    shown = "plot.data.filter(t => t.meta && t.meta.published).map(t => t.visible)"
    heading = "Accuracy under attack"
    assert set(visit.data(heading, shown)) == {False}
    surfaces = visit.page.locator(".published-only figure")
    assert not surfaces.first.is_visible()
    visit.page.click("#published")
    assert set(visit.data(heading, shown)) == {True}
    assert surfaces.first.is_visible() and visit.page.locator("#published").get_attribute("aria-pressed") == "true"
    surfaces.first.scroll_into_view_if_needed()
    surfaces.first.locator(".plot.js-plotly-plot").wait_for()
    visit.page.click("#published")
    assert set(visit.data(heading, shown)) == {False} and not surfaces.first.is_visible()


def test_a_legend_entry_isolates_its_model_and_gives_the_rest_back(visit):
    heading, visible = "Accuracy under attack", "plot.data.filter(t => t.visible).map(t => t.name)"
    everything = visit.data(heading, visible)
    button = visit.figure(heading).get_by_role("button", name="AT(ε=8,α=8,i=3)", exact=True)
    button.press("Enter")
    assert visit.data(heading, visible) == ["AT(ε=8,α=8,i=3)"]
    slide(visit.figure(heading).locator("input[type=range]"), 0)  # an isolated model stays so under the slider
    assert visit.data(heading, visible) == ["AT(ε=8,α=8,i=3)"]
    button.press("Enter")
    assert visit.data(heading, visible) == everything and len(everything) == 6


def test_light_and_dark(visit):
    background = "getComputedStyle(document.body).backgroundColor"
    light, ink = visit.page.evaluate(background), visit.data("Training", "plot._fullLayout.font.color")
    visit.page.click("#theme")
    assert visit.page.evaluate(background) != light
    assert visit.data("Training", "plot._fullLayout.font.color") != ink


def test_the_system_chooses_the_theme(browser, url):
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(url)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    context.close()


PIXELS = "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"


def pixels(player: Any, part: str) -> np.ndarray:
    return np.array(player.locator(f'[data-part="{part}"]').evaluate(PIXELS)).reshape(32, 32, 4)[..., :3]


def test_the_player_shows_exactly_what_was_stored(visit, synthetic, tmp_path):
    row = synthetic.example(tmp_path, 0)
    with np.load(tmp_path / row["file"]) as stored:
        clean, delta = stored["clean"], stored["delta"].astype(np.float64)
    player = visit.player()
    player.get_by_role("button", name="one frame on").click()
    assert player.locator('[data-part="at"]').text_content() == "2 / 8"
    assert np.array_equal(pixels(player, "clean"), clean[1])
    assert np.array_equal(pixels(player, "adversarial"), np.clip(np.rint(clean[1] + delta[1]), 0, 255))
    assert np.array_equal(pixels(player, "delta"), np.clip(np.rint(128 + 10 * delta[1]), 0, 255))
    slide(player.locator('[data-part="gain"]'), 3)
    assert np.array_equal(pixels(player, "delta"), np.clip(np.rint(128 + 3 * delta[1]), 0, 255))


def test_the_player_plays_pauses_scrubs_and_changes_its_clip(visit):
    player = visit.player()
    at, play = player.locator('[data-part="at"]'), player.locator('[data-part="play"]')
    play.press("Enter")
    visit.page.wait_for_function("document.querySelector('[data-part=at]').textContent !== '1 / 8'")
    play.press("Enter")
    assert play.text_content() == "play"
    stopped = at.text_content()
    visit.page.wait_for_timeout(400)
    assert at.text_content() == stopped
    slide(player.locator('[data-part="scrub"]'), 6)
    assert at.text_content() == "7 / 8"
    before = pixels(player, "clean")
    player.locator('[data-part="choice"]').select_option("1")
    visit.page.locator("[data-player][data-ready='1']").wait_for()
    slide(player.locator('[data-part="scrub"]'), 6)
    assert not np.array_equal(pixels(player, "clean"), before)


def test_the_answers_are_text_and_the_right_one_is_marked(visit):
    player = visit.player()
    wrong = player.locator('[data-part="adversarial-top"] li').first
    assert wrong.text_content() == "88.0 % <script>alert('class')</script>"
    assert wrong.get_attribute("class") is None
    assert player.locator('[data-part="adversarial-top"] li.right').text_content() == "10.0 % left"


@pytest.mark.parametrize("width", [360, 1920])
def test_nothing_is_wider_than_the_window(browser, url, width):
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    page.goto(url)
    page.wait_for_function("window.Plotly !== undefined")
    page.click("#published")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for holder in page.locator("figure[data-figure]").all():
        holder.scroll_into_view_if_needed()
        holder.locator(".plot.js-plotly-plot").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_the_page_opens_fast(visit):
    spent = visit.page.evaluate("performance.timing.domContentLoadedEventEnd - performance.timing.navigationStart")
    assert spent < 5000  # under 1 s when nothing else runs


def test_two_runs_are_two_sections(browser, synthetic, tmp_path):
    runs = [synthetic.write(tmp_path / name, synthetic.rows(seeds=1)) for name in ("one", "two")]
    context = browser.new_context()
    visit = Visit(context.new_page())
    visit.open(report(runs, tmp_path / "two.html").as_uri())
    assert visit.page.locator("section").count() == 2 and visit.page.locator("[data-player][data-ready]").count() == 2
    assert visit.messages == []
    context.close()
