"""Every kind of page, the deck too, under axe-core in a browser, light and dark: no serious or critical finding.

axe-core comes from npm: ``npm ci --prefix tests/tools``, which CI and ``make test-long`` run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers.judgement_records import record, stored

from vidrobust.results.pages.deck import deck
from vidrobust.results.pages.judgement import page as judgement_page
from vidrobust.results.pages.leaderboard import leaderboard
from vidrobust.results.pages.report import report

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
AXE = ROOT / "tests" / "tools" / "node_modules" / "axe-core" / "axe.min.js"
DISTANCES = [None] * 6 + [9.0, 3.0, 2.0, 0.0]
DRAWN = """async () => {
  for (const one of document.querySelectorAll("details")) one.open = true;
  for (const plot of document.querySelectorAll("figure .plot")) {
    plot.scrollIntoView();
    const drawn = () => plot.classList.contains("js-plotly-plot") || !plot.checkVisibility();
    while (!drawn()) await new Promise(requestAnimationFrame);
  }
}"""

SHOWN = 'getComputedStyle(document.querySelector("section.present")).opacity === "1"'
"""Has the slide been faded in? Its contrast can only be measured then."""


@pytest.fixture(scope="module")
def pages(synthetic, tmp_path_factory) -> dict[str, str]:
    """One page of each kind, by name, as addresses."""
    folder = tmp_path_factory.mktemp("pages")
    rows = (
        synthetic.rows(seeds=1) + synthetic.several_attacks(synthetic.QUICK) + synthetic.several_views(synthetic.QUICK)
    )
    runs = [synthetic.write(folder / name, rows) for name in ("one", "other")]
    trusted = record(DISTANCES)
    curve = [[eps, sum(size is None or size > eps for size in DISTANCES)] for eps in (0, 2, 4, 8, 16)]
    trusted["threats"][0] |= {"curve": curve, "attacks": {"PGD": "PGD(ε=8)"}, "standing": {"PGD": 7}}
    doubted = {"verdict": "do not trust", "reasons": ["it fails"], "remedies": ["try harder"], "notes": ["slow"]}
    judged = [stored(folder / "board" / "a", trusted)]
    judged.append(stored(folder / "board" / "b", record([None, 2.0, 1.0], weights="b", **doubted)))
    made = {
        "report": report(runs[0]),
        "report of two": report(runs, folder / "two.html"),
        "judgement": judgement_page(judged[0]),
        "judgement that doubts": judgement_page(judged[1]),
        "leaderboard": leaderboard(folder / "board")[0],
        "deck": deck(runs[0]),
    }
    return {name: file.as_uri() for name, file in made.items()}


@pytest.fixture(scope="module")
def docs() -> Path:
    """The documentation, as ``scripts/check`` built it, or built now."""
    built = ROOT / "docs" / "_build" / "html"
    if not (built / "index.html").exists():
        command = [sys.executable, "-m", "sphinx", "-q", "-b", "html", ROOT / "docs", built]
        subprocess.run(command, check=True)
    return built


@pytest.fixture(params=["light", "dark"])
def page(browser, request: pytest.FixtureRequest) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=request.param, bypass_csp=True)
    yield context.new_page()
    context.close()


def findings(page: Any) -> list[str]:
    """What axe finds, serious or critical, with the places."""
    page.evaluate(AXE.read_text())
    found = page.evaluate("async () => (await axe.run(document, { resultTypes: ['violations'] })).violations")
    grave = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {node['target']} {node['failureSummary']}" for one in grave for node in one["nodes"]]


@pytest.mark.parametrize("name", ["report", "report of two"])
def test_a_report(name: str, pages: dict[str, str], page: Any) -> None:
    page.goto(pages[name])
    page.wait_for_function("window.Plotly !== undefined")
    page.evaluate(DRAWN)
    assert findings(page) == []


@pytest.mark.parametrize("name", ["judgement", "judgement that doubts", "leaderboard"])
def test_a_judgement_and_a_leaderboard(name: str, pages: dict[str, str], page: Any) -> None:
    page.goto(pages[name])
    assert findings(page) == []


def test_every_slide_of_the_deck(pages: dict[str, str], page: Any) -> None:
    page.goto(pages["deck"])
    page.wait_for_function("window.Reveal && Reveal.isReady()")
    found = []
    for number in range(page.evaluate("Reveal.getTotalSlides()")):
        page.evaluate(f"Reveal.slide({number})")
        for figure in page.locator("section.present figure").all():
            figure.locator(".plot.js-plotly-plot").wait_for()
        page.wait_for_function(SHOWN)
        found += [f"slide {number + 1}: {one}" for one in findings(page)]
    assert found == []


@pytest.mark.parametrize(("name", "width"), [("index", 1280), ("judge", 360), ("gallery/index", 1280)])
def test_the_documentation(name: str, width: int, docs: Path, page: Any) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto((docs / f"{name}.html").as_uri())
    assert findings(page) == []


def test_what_axe_should_find_is_found(page: Any) -> None:
    page.set_content('<html lang="en"><title>x</title><main><h1>x</h1><img src="data:,"></main></html>')
    assert any(one.startswith("image-alt") for one in findings(page))
