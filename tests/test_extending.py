"""The worked examples of the documentation, each in a file of a user's own, used as the package's own parts are."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import vidrobust as vr
from vidrobust.data import Video, VideoFolder
from vidrobust.data.decoding.encode import write_video
from vidrobust.errors import DataError, InputError
from vidrobust.models.building import build
from vidrobust.results.pages.paper import paper_figures
from vidrobust.results.pages.show import show
from vidrobust.results.pages.tables import tables

DOCS = Path(__file__).parents[1] / "docs"
PERSONS = (1, 2, 3, 4, 11, 12)  # validation: 1 and 4; training: 11 and 12; test: 2 and 3


def blocks(page: str) -> str:
    """The first Python block of a page, a whole file."""
    return re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)[0]


def examples(page: str, *first: str) -> str:
    """The doctests of a page that begin with one of these words, as a file."""
    found = doctest.DocTestParser().get_examples((DOCS / page).read_text())
    return "\n".join(one.source for one in found if one.source.startswith(first))


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], ModuleType]:
    """Imports a text as a file of a user's own."""

    def load(name: str, code: str) -> ModuleType:
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return load


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """KTH in small: two actions of six persons, in video files."""
    root = tmp_path / "KTH"
    for label, action in enumerate(("boxing", "running")):
        (root / action).mkdir(parents=True)
        for person in PERSONS:
            shade = np.random.default_rng([label, person]).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
            write_video(root / action / f"person{person:02d}_{action}_d1_uncomp.avi", shade)
    return root


@pytest.fixture
def kth(own: Callable[[str, str], ModuleType], root: Path) -> VideoFolder:
    return own("my_layout", blocks("adding_a_layout.md")).kth(root)


@pytest.fixture
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 4 * 16 * 16, 2)).eval()


def clips(folder: VideoFolder, **options: Any) -> Any:
    return vr.data.videos(folder, frames=4, size=16, **options)


# ------------------------------------------------------------------------------------------------- search and threat


def test_a_search_and_a_support_from_outside_are_evaluated_and_named_in_rows(own, kth, model) -> None:
    words = ("from", "import", "@dataclass")
    search = own("my_search", examples("adding_an_attack.md", *words)).HalfPGD
    support = own("my_support", examples("threats.md", *words)).Checkerboard()
    attack = search(vr.Threat(vr.Linf(), 8 / 255, support), alpha=2 / 255, steps=3)
    (row,) = [row for row in vr.evaluate(model, clips(kth).test, [attack]) if row["eps"]]
    told = [row[name] for name in ("search", "support", "norm", "eps", "steps", "clips", "sources")]
    assert told == ["my_search.HalfPGD", "my_support.Checkerboard", "Linf", 8.0, 3, 4, 2]


# ------------------------------------------------------------------------------------------------------------ layout


def test_a_layout_from_outside_gives_its_own_splits(kth) -> None:
    data = clips(kth)
    assert data.classes == ("boxing", "running") and data.row["name"] == "KTH"
    assert [sorted(set(getattr(data, split).sources)) for split in ("train", "val", "test")] == [
        ["11", "12"], ["01", "04"], ["02", "03"],
    ]  # fmt: skip
    assert data.test.centre([0]).shape == (1, 3, 4, 16, 16)
    assert len(clips(kth, train=2).train) == 2  # and limits hold


def test_a_run_on_such_data_says_where_its_data_came_from(kth, root, tmp_path, vidrobust) -> None:
    run = vr.fit(build("r3d-small", 2), clips(kth), "AT(ε=8,α=8,i=1)", epochs=1, batch=4, out=tmp_path / "run")
    assert {row["kind"] for row in run.rows} >= {"dataset", "epoch", "accuracy"}
    code, _, error = vidrobust("evaluate", tmp_path / "run", "--attack", "FGSM(ε=8)")
    assert code == 1 and f"VideoFolder at {root}" in error and "vidrobust.load_model" in error
    assert vr.load_model(tmp_path / "run") is not None


def changed(split: str, **fields: Any) -> Callable[[VideoFolder], VideoFolder]:
    """The first video of a split with other fields."""

    def change(folder: VideoFolder) -> VideoFolder:
        first, *others = folder.split(split)
        return dataclasses.replace(folder, **{split: (dataclasses.replace(first, **fields), *others)})

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (changed("train", path="../a.avi"), r"train\[0\].*leads out"),
        (changed("train", path="boxing//person11_boxing_d1_uncomp.avi"), r"train\[0\]: write"),
        (changed("val", path="boxing/person99.avi"), r"val\[0\].*does not exist"),
        (changed("val", shard="../a.tar"), r"val\[0\].*leads out"),
        (changed("test", label=2), r"test\[0\]: label 2"),
        (changed("test", label=-1), r"test\[0\]: label -1"),
        (changed("test", group="11"), "share group 11"),
        (changed("train", path="boxing/person12_boxing_d1_uncomp.avi"), r"train\[1\].*is also in train"),
        (lambda folder: dataclasses.replace(folder, classes=("boxing", "boxing")), "the same name"),
        (lambda folder: dataclasses.replace(folder, test=folder.test[:2]), "no test clips of class running"),
    ],
)
def test_a_layout_from_outside_is_checked(kth, change, words) -> None:
    with pytest.raises(DataError, match=words):
        clips(change(kth))


def test_a_link_out_of_the_root_is_refused(kth, root, tmp_path) -> None:
    video = kth.test[0].path
    (root / video).rename(tmp_path / "elsewhere.avi")
    (root / video).symlink_to(tmp_path / "elsewhere.avi")
    with pytest.raises(DataError, match="is a link out of"):
        clips(kth)


def test_one_file_in_two_splits_is_found(kth, root) -> None:
    copy = "boxing/person05_boxing_d1_uncomp.avi"
    (root / copy).write_bytes((root / kth.train[0].path).read_bytes())
    with pytest.raises(DataError, match="hold the same file"):
        clips(dataclasses.replace(kth, test=(*kth.test, Video(copy, 0, "05"))))


# ------------------------------------------------------------------------------------------------------------ figure


@pytest.fixture
def noise(own: Callable[[str, str], ModuleType]) -> Any:
    return own("my_figure", blocks("adding_a_figure.md"))


@pytest.fixture
def run(noise, kth, model, tmp_path) -> vr.Run:
    run = vr.Run.start(tmp_path / "noise", "noise", {}, 0)
    test = clips(kth).test
    rows = noise.measure(model, test, "mine", [0.0, 8 / 255])
    with torch.no_grad():
        right = int((model(test.centre(range(4))).argmax(1) == test.labels).sum())
    assert [(row["sigma"], row["clips"], row["sources"]) for row in rows] == [(0.0, 4, 2), (8.0, 4, 2)]
    assert rows[0]["correct"] == right
    run.append(rows)
    run.append(rows)
    assert run.rows("noise") == rows  # once
    return run


def test_a_figure_from_outside_is_on_the_page_and_its_slide(run, noise) -> None:
    figures = (*vr.figures.FIGURES, noise.NOISE)
    page = vr.report(run.path, figures=figures).read_text()
    section = page[page.index('<section id="noise">') :].partition("</section>")[0]
    assert "Accuracy under noise" in section and "mine, σ=8" in section and "From 2 noise rows" in section
    assert 'data-name="noise"' in section and '<a href="#noise">' in page
    assert '<section id="noise">' not in vr.report(run.path).read_text()
    assert '<section id="cost">' in vr.report(run.path, figures=()).read_text()
    script = run.path / "slides.md"
    script.write_text("# Noise\n\n{{figure noise}}\n")
    assert 'data-name="noise"' in vr.deck(run.path, script=script, figures=figures).read_text()
    with pytest.raises(InputError, match="no figure 'noise'"):
        vr.deck(run.path, script=script)


def test_a_figure_from_outside_has_tables_drawings_and_lines_in_a_terminal(run, noise, capsys) -> None:
    def draw(axes: Any) -> None:
        axes.plot([0, 1])

    plot = vr.figures.Plot("noise", draw)
    figures = (dataclasses.replace(noise.NOISE, plots=lambda rows: [plot]),)
    written = {path.name: path for path in tables(run.path, "csv", figures=figures)}
    assert "mine, σ=8" in written["noise.csv"].read_text()
    drawn = paper_figures(run.path, "svg", figures=figures)
    assert [path.name for path in drawn] == ["noise-1col.svg", "noise-2col.svg"]
    show(run.path, figures=figures)
    assert "mine, σ=8" in capsys.readouterr().out


def test_figures_that_cannot_be_told_apart_or_have_no_words_are_refused(run, noise) -> None:
    with pytest.raises(InputError, match="two parts called 'noise'"):
        vr.report(run.path, figures=(noise.NOISE, noise.NOISE))
    with pytest.raises(InputError, match="two parts called 'origin'"):
        vr.report(run.path, figures=(dataclasses.replace(noise.NOISE, key="origin"),))
    for key in ("", "a b", '"><script>'):
        with pytest.raises(InputError, match="a figure's key"):
            dataclasses.replace(noise.NOISE, key=key)
    silent = noise.panels(run.rows())
    silent[0].drawing.layout.meta = None
    with pytest.raises(InputError, match="does not say what there is to see"):
        vr.report(run.path, figures=(dataclasses.replace(noise.NOISE, panels=lambda rows: silent),))
