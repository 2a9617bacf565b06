"""The page in a real headless Chromium: everything a reader can press is pressed, and its effect is looked at.

One page serves all tests of this module, so each leaves it as it found it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from vidrobust.results.pages.report import report

SPY = """for (const kind of [WebGLRenderingContext, WebGL2RenderingContext]) {
  const read = kind.prototype.readPixels;
  kind.prototype.readPixels = function (...given) {
    window.readBack = (window.readBack || 0) + 1;
    return read.apply(this, given);
  };
}"""


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

    def figure(self, section: str, number: int = 0) -> Any:
        """A drawn figure of a section."""
        found = self.page.locator(f"#{section} figure").nth(number)
        found.scroll_into_view_if_needed()
        found.locator(".plot.js-plotly-plot").wait_for()
        return found

    def player(self) -> Any:
        """The clip player with a clip loaded."""
        self.page.locator("[data-player][data-ready]").first.wait_for()
        return self.page.locator("[data-player]").first

    def data(self, section: str, expression: str) -> Any:
        """Evaluate an expression of ``plot``, the plotly element of a figure."""
        return self.figure(section).locator(".plot").evaluate(f"plot => {expression}")

    def until(self, expression: str) -> None:
        """Wait for something to be true in the page."""
        self.page.wait_for_function(expression)


@pytest.fixture(scope="module")
def rows(synthetic) -> list[dict[str, Any]]:
    return (
        synthetic.rows(seeds=1)
        + synthetic.several_attacks(synthetic.QUICK)
        + synthetic.several_views(synthetic.QUICK)
        + synthetic.several_views(synthetic.QUICK, views=10)
    )


@pytest.fixture(scope="module")
def url(synthetic, rows, tmp_path_factory) -> str:
    return report(synthetic.write(tmp_path_factory.mktemp("page") / "run", rows)).as_uri()


@pytest.fixture(scope="module")
def visit(browser, url) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened = Visit(context.new_page())
    opened.page.add_init_script(SPY)
    opened.open(url)
    yield opened
    context.close()


def slide(slider: Any, value: int) -> None:
    slider.evaluate(f"input => {{ input.value = {value}; input.dispatchEvent(new Event('input', {{bubbles: true}})) }}")


def test_no_figure_is_drawn_before_it_is_near(visit):
    drawn = visit.page.locator(".plot.js-plotly-plot").count()
    assert drawn < visit.page.locator("figure[data-figure]").count() / 2  # or long pages would open slowly


def test_every_figure_is_drawn(visit):
    for holder in visit.page.locator("figure[data-figure]").all():
        if holder.is_visible():
            holder.scroll_into_view_if_needed()
            holder.locator(".plot.js-plotly-plot").wait_for()
            assert len(holder.locator(".plot").get_attribute("aria-label")) > 40
    assert visit.page.locator(".waiting:visible").count() == 0
    assert visit.page.locator('[role="alert"]').count() == 0


SLIDERS = ("accuracy", "schedules", "training", "gap", "views", "difficulty")


def test_every_slider_changes_its_data_by_keyboard(visit):
    for section in SLIDERS:
        slider = visit.figure(section).locator("input[type=range]")
        before, told = visit.data(section, "plot.data[0].y"), slider.get_attribute("aria-valuetext")
        there, back = ("ArrowLeft", "ArrowRight") if section in ("accuracy", "views") else ("ArrowRight", "ArrowLeft")
        slider.focus()
        visit.page.keyboard.press(there)
        assert visit.data(section, "plot.data[0].y") != before
        assert slider.get_attribute("aria-valuetext") != told
        visit.page.keyboard.press(back)
        assert visit.data(section, "plot.data[0].y") == before


def test_published_numbers_are_hidden_until_asked_for(visit):
    shown = "plot.data.filter(t => t.meta && t.meta.published).map(t => t.visible)"
    assert set(visit.data("accuracy", shown)) == {False}
    surface = visit.page.locator("#sensitivity .published-only figure").first
    assert not surface.is_visible()
    visit.page.locator("#published").press("Enter")
    assert set(visit.data("accuracy", shown)) == {True}
    assert surface.is_visible() and visit.page.locator("#published").get_attribute("aria-pressed") == "true"
    surface.scroll_into_view_if_needed()
    surface.locator(".plot.js-plotly-plot").wait_for()
    visit.page.click("#published")
    assert set(visit.data("accuracy", shown)) == {False} and not surface.is_visible()


def test_a_legend_entry_isolates_its_model_and_gives_the_rest_back(visit):
    visible = "plot.data.filter(t => t.visible).map(t => t.name)"
    everything = visit.data("accuracy", visible)
    button = visit.figure("accuracy").get_by_role("button", name="AT(ε=8,α=8,i=3)", exact=True)
    button.press("Enter")
    assert visit.data("accuracy", visible) == ["AT(ε=8,α=8,i=3)"]
    slider = visit.figure("accuracy").locator("input[type=range]")
    slide(slider, 0)  # an isolated model stays so under the slider
    assert visit.data("accuracy", visible) == ["AT(ε=8,α=8,i=3)"]
    slide(slider, 1)
    button.press("Enter")
    assert visit.data("accuracy", visible) == everything and len(everything) == 6


def test_light_and_dark(visit):
    background = "getComputedStyle(document.body).backgroundColor"
    light, ink = visit.page.evaluate(background), visit.data("training", "plot._fullLayout.font.color")
    visit.page.locator("#theme").press("Enter")
    assert visit.page.evaluate(background) != light
    assert visit.data("training", "plot._fullLayout.font.color") != ink
    visit.page.click("#theme")
    assert visit.page.evaluate(background) == light
    visit.page.emulate_media(color_scheme="dark")  # the system changes its mind
    visit.until("document.documentElement.dataset.theme === 'dark'")
    visit.page.emulate_media(color_scheme="light")
    visit.until("document.documentElement.dataset.theme === 'light'")


def test_every_entry_of_the_contents_leads_to_its_part_by_keyboard(visit):
    links = visit.page.locator(".contents a")
    assert links.count() == 17
    for link in links.all():
        link.press("Enter")
        target = link.get_attribute("href")
        top = visit.page.locator(target).evaluate("part => part.getBoundingClientRect().top")
        at_end = visit.page.evaluate("scrollY + innerHeight >= document.documentElement.scrollHeight - 2")
        assert at_end or 0 <= top < 200, target
    links.nth(3).press("Enter")
    visit.until("document.querySelector('.contents a[aria-current]').hash === '#step-size'")


def saved(visit: Visit, section: str) -> list[list[str]]:
    button = visit.figure(section).get_by_role("button", name="as CSV")
    with visit.page.expect_download() as waiting:
        button.press("Enter")
    with open(waiting.value.path(), encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(io.StringIO(file.read())))


def test_the_data_of_every_figure_can_be_saved(visit, rows):
    head, *lines = saved(visit, "accuracy")
    assert head == ["series", "shown", "ε (1/255)", "accuracy (%)", "low 95 %", "high 95 %"]
    row = next(
        r for r in rows if r["kind"] == "robustness" and (r["model"], r["eps"], r["steps"]) == ("standard", 2, 5)
    )
    line = next(line for line in lines if line[:3] == ["standard", "i=5", "2"])
    value, low, high = map(float, line[3:])
    assert value == pytest.approx(100 * row["correct"] / row["clips"]) and low < value < high
    head, *lines = saved(visit, "sensitivity")
    row = next(r for r in rows if r["kind"] == "trajectory" and r["eps"] == 4)
    assert head == ["alpha", "iterations", "mean loss", "accuracy"] and len(lines) == 13 * 31
    found = [float(line[2]) for line in lines if float(line[0]) == row["alpha"]]
    assert found == pytest.approx(row["loss"])
    assert {line[2] for line in saved(visit, "radar")[1:]} >= {"clean", "Square(ε=8)"}
    head, *lines = saved(visit, "views")
    row = next(
        r for r in rows
        if r["kind"] == "views" and (r["attacked"], r["model"], r["eps"], r["views"]) == ("video", "standard", 4, 10)
    )  # fmt: skip
    name = "standard, videos, the answer attacked"
    line = next(line for line in lines if line[:3] == [name, "10 clips per video, mean logits, PGD(i=10)", "4"])
    assert float(line[3]) == pytest.approx(100 * row["correct"] / row["clips"])
    for section in ("step-size", "schedules", "training", "gap", "difficulty"):
        assert len(saved(visit, section)) > 9


def test_how_a_figure_was_made_opens(visit):
    told = visit.figure("step-size").locator(".how")
    assert not told.locator("pre").is_visible()
    told.locator("summary").press("Enter")
    assert told.locator("pre").is_visible() and "36 step_size rows" in told.text_content()
    told.locator("summary").press("Enter")


def test_the_surface_tells_its_values_without_reading_pixels_back(visit):
    plot = visit.figure("sensitivity").locator(".plot")
    box, tip = plot.bounding_box(), plot.locator(".tip")
    for share in (0.45, 0.5, 0.55, 0.6):
        visit.page.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * 0.6)
        if tip.is_visible():
            break
    assert tip.text_content().startswith("α = ") and "accuracy" in tip.text_content()
    visit.page.mouse.move(0, 0)
    assert not tip.is_visible()
    assert visit.page.evaluate("window.readBack || 0") == 0


# ------------------------------------------------------------------------------------------------------------ clips

PIXELS = "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"


def pixels(player: Any, part: str, size: int = 32) -> np.ndarray:
    return np.array(player.locator(f'[data-part="{part}"]').evaluate(PIXELS)).reshape(size, size, 4)[..., :3]


def part(player: Any, name: str) -> Any:
    return player.locator(f'[data-part="{name}"]')


def test_the_player_shows_exactly_what_was_stored(visit, synthetic, tmp_path):
    row = synthetic.example(tmp_path, 0)
    with np.load(tmp_path / row["file"]) as stored:
        clean, delta, recorded = stored["clean"], stored["delta"].astype(np.float64), stored["recorded"]
    player = visit.player()
    player.get_by_role("button", name="one frame on").click()
    assert part(player, "at").text_content() == "2 / 8"
    assert part(player, "about").text_content().endswith("20 iterations asked, 2 run")
    assert np.array_equal(pixels(player, "clean"), clean[1])
    assert np.array_equal(pixels(player, "recorded", 64), recorded[1])
    assert (part(player, "recorded-size").text_content(), part(player, "size").text_content()) == ("64 × 64", "32 × 32")
    assert np.array_equal(pixels(player, "adversarial"), np.clip(np.rint(clean[1] + delta[1]), 0, 255))
    assert np.array_equal(pixels(player, "delta"), np.clip(np.rint(128 + 10 * delta[1]), 0, 255))
    slide(part(player, "gain"), 3)
    assert np.array_equal(pixels(player, "delta"), np.clip(np.rint(128 + 3 * delta[1]), 0, 255))
    assert part(player, "times").text_content() == "×3"


def test_video_and_clips_can_be_seen_at_one_scale(visit):
    player = visit.player()

    def shown(name: str) -> float:
        return part(player, name).bounding_box()["width"]

    assert shown("clean") == pytest.approx(shown("recorded"), abs=2)
    part(player, "scale").press("Enter")
    assert shown("recorded") / shown("clean") == pytest.approx(64 / 32, rel=0.02)
    assert shown("clean") == shown("delta") == shown("adversarial")
    part(player, "scale").press("Enter")
    assert shown("clean") == pytest.approx(shown("recorded"), abs=2)


def test_the_player_plays_pauses_scrubs_and_ends(visit):
    player = visit.player()
    at, play = part(player, "at"), part(player, "play")
    slide(part(player, "scrub"), 0)
    part(player, "rate").select_option("16")
    play.press("Enter")
    visit.until("document.querySelector('[data-part=at]').textContent === '8 / 8'")
    visit.until("document.querySelector('[data-part=at]').textContent === '1 / 8'")  # it loops
    part(player, "loop").press("Enter")
    visit.until("document.querySelector('[data-part=play]').textContent === 'play'")  # it stops by itself
    assert at.text_content() == "8 / 8"
    part(player, "loop").press("Enter")
    slide(part(player, "scrub"), 6)
    assert at.text_content() == "7 / 8"
    play.press("Enter")
    play.press("Enter")
    stopped = at.text_content()
    visit.page.wait_for_timeout(150)
    assert at.text_content() == stopped and play.get_attribute("aria-pressed") == "false"


def test_the_player_works_by_its_keys(visit):
    player = visit.player()
    slide(part(player, "scrub"), 0)
    player.focus()
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("ArrowLeft")
    assert part(player, "at").text_content() == "2 / 8"
    visit.page.keyboard.press(" ")
    assert part(player, "play").text_content() == "pause"
    visit.page.keyboard.press(" ")
    assert part(player, "play").text_content() == "play"


# What is said and what is drawn are read at one moment: between two calls the page may have blinked.
BLINKS = """player => new Promise(done => {
    const part = name => player.querySelector(`[data-part=${name}]`);
    const drawn = name => part(name).getContext('2d').getImageData(0, 0, 32, 32).data.join();
    const seen = {};
    const look = () => {
        seen[part('shown').textContent] = drawn('adversarial') === drawn('clean');
        if (Object.keys(seen).length === 2) done(seen); else requestAnimationFrame(look);
    };
    look();
})"""


def test_blinking_shows_clean_and_adversarial_in_turn(visit):
    player = visit.player()
    player.focus()
    visit.page.keyboard.press("b")
    assert player.evaluate(BLINKS) == {"adversarial": False, "clean (blinking)": True}
    part(player, "blink").press("Enter")
    assert part(player, "shown").text_content() == "adversarial"


def test_choices_go_together_and_change_the_clip(visit):
    player = visit.player()
    options = "select => [...select.options].map(option => option.value)"
    assert part(player, "model").evaluate(options) == ["standard", "AT(ε=8,α=8,i=3)"]
    slide(part(player, "scrub"), 3)
    before, clean = pixels(player, "adversarial"), pixels(player, "clean")
    part(player, "model").select_option("AT(ε=8,α=8,i=3)")
    visit.page.locator("[data-player][data-ready='2']").wait_for()
    assert part(player, "attack").evaluate(options) == ["PGD(ε=4,i=20)"]
    assert np.array_equal(pixels(player, "clean"), clean) and not np.array_equal(pixels(player, "adversarial"), before)
    heights = part(player, "spent").evaluate("bars => [...bars.children].map(bar => parseFloat(bar.style.height))")
    assert heights == [4, 4, 4, 100, 4, 4, 4, 4]  # where the budget was spent
    assert "most in frame 4" in part(player, "spent").get_attribute("aria-label")
    assert part(player, "spent").locator(".now").get_attribute("title").startswith("frame 4: ")
    part(player, "video").select_option(index=1)
    visit.page.locator("[data-player][data-ready='1']").wait_for()
    assert part(player, "model").evaluate(options) == ["standard"]
    assert not np.array_equal(pixels(player, "clean"), clean)
    part(player, "video").select_option(index=0)
    visit.page.locator("[data-player][data-ready='0']").wait_for()


def test_the_answers_are_text_and_the_right_one_is_marked(visit):
    player = visit.player()
    wrong = part(player, "adversarial-top").locator("li").first
    assert wrong.text_content() == "88.0 % <script>alert('class')</script>"
    assert wrong.get_attribute("class") is None
    assert part(player, "adversarial-top").locator("li.right").text_content() == "10.0 % left"


# ------------------------------------------------------------------------------------------------------- the window


PRESSED = "button, select, input, summary, a[href], .player, .scroll"


def test_all_that_can_be_pressed_is_reached_by_the_tab_key(visit):
    shown = f"[...document.querySelectorAll({PRESSED!r})].filter(e => e.checkVisibility())"
    wanted = visit.page.evaluate(f"window.wanted = new Set({shown}); wanted.size")
    visit.page.evaluate("document.querySelector('.skip').focus(); wanted.delete(document.activeElement)")
    for _ in range(wanted + 40):  # plotly's own bars are in between
        visit.page.keyboard.press("Tab")
        if visit.page.evaluate("wanted.delete(document.activeElement), wanted.size") == 0:
            break
    assert visit.page.evaluate("[...wanted].map(e => e.outerHTML.slice(0, 80))") == []


DRAWINGS = "[...document.querySelectorAll('.plot .main-svg')].filter(one => one.clientWidth)"


def fits(visit, width: int) -> None:
    visit.until(f"document.documentElement.scrollWidth <= {width}")  # figures take their new size
    visit.until(f"{DRAWINGS}.every(one => one.getBoundingClientRect().right <= innerWidth + 1)")


@pytest.mark.parametrize("width", [1920, 360])
def test_nothing_is_wider_than_the_window(visit, width):
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.page.click("#published")
    visit.page.wait_for_timeout(300)  # what is hidden at first is drawn
    fits(visit, width)
    visit.page.click("#published")
    visit.page.set_viewport_size({"width": 1280, "height": 900})


def test_a_figure_hidden_while_the_window_narrows_fits_when_shown_again(visit):
    visit.page.click("#published")
    hidden = visit.page.locator("figure.published, .published-only figure").first
    hidden.scroll_into_view_if_needed()
    hidden.locator(".plot.js-plotly-plot").wait_for()
    visit.page.click("#published")
    visit.page.set_viewport_size({"width": 360, "height": 900})
    visit.page.wait_for_timeout(300)
    visit.page.click("#published")
    fits(visit, 360)
    visit.page.click("#published")
    visit.page.set_viewport_size({"width": 1280, "height": 900})


def test_nothing_was_said_and_nothing_was_asked_for(visit, url):
    assert visit.messages == []
    assert [asked for asked in visit.requests if not asked.startswith("blob:")] == [url]


def test_two_runs_move_together(browser, synthetic, tmp_path):
    runs = [synthetic.write(tmp_path / name, synthetic.rows(seeds=1)) for name in ("one", "two")]
    context = browser.new_context(viewport={"width": 1600, "height": 900})
    visit = Visit(context.new_page())
    visit.open(report(runs, tmp_path / "two.html").as_uri())
    assert visit.page.locator("[data-player][data-ready]").count() == 2
    both = [visit.figure("gap", number) for number in (0, 1)]
    left, right = (one.bounding_box() for one in both)
    assert abs(left["y"] - right["y"]) < 5 and right["x"] > left["x"] + 300
    before = both[1].locator(".plot").evaluate("plot => plot.data[0].y")
    slide(both[0].locator("input[type=range]"), 2)
    assert both[1].locator(".slide output").text_content() == "under PGD at ε=12"
    assert both[1].locator(".plot").evaluate("plot => plot.data[0].y") != before
    assert visit.messages == []
    context.close()
