"""``vidrobust transfer`` from the command line to rows and a page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.row_fields import unknown

import vidrobust as vr
from vidrobust.data.dataset import VideoClips
from vidrobust.models.building import build
from vidrobust.runs.directory import Run


@pytest.fixture(scope="module")
def runs(small_data: VideoClips, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three trained models of one name."""
    folder = tmp_path_factory.mktemp("runs")
    few = (small_data.train.spread(16), small_data.val.spread(8), small_data.test.spread(8))
    data = VideoClips(small_data.folder, small_data.config, *few)
    for seed, name in enumerate(("one", "two", "three")):
        vr.fit(build("r3d-small", 10, seed), data, epochs=1, batch=16, seed=seed, out=folder / name)
    return [folder / "one", folder / "two", folder / "three"]


def test_a_matrix_with_ensembles_and_its_page(
    runs: list[Path], vidrobust: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    out = tmp_path / "transfer"
    attack = ("--attack", "MIFGSM(ε=16,α=8,i=2)", "--clips", 6, "--ensembles")
    code, printed, told = vidrobust("transfer", *runs, *attack, "--out", out)
    assert code == 0, told
    assert "standard of one + standard of two" in " ".join(told.split())
    rows = [row for row in Run.open(out).rows() if row["kind"] == "transfer"]
    assert unknown(rows) == set() and len(rows) == 3 + 6 * 3
    assert {row["seed"] for row in rows} == {0, 1, 2} and all(row["clips_of"] for row in rows)
    page = Path(printed.strip()).read_text(encoding="utf-8")
    assert "Transfer between models: 3 models." in page and "No accuracies under attack" not in page
    assert 'id="transfer"' in page and "perturbed on (surrogate)" in page
    code, _, told = vidrobust("show", out)
    assert code == 0, told


def test_errors_in_words(runs: list[Path], vidrobust: Callable[..., tuple[int, str, str]]) -> None:
    for arguments, words in (
        ((runs[0], "--attack", "MIFGSM(ε=8)"), "at least two models"),
        ((runs[0], runs[1], "--attack", "MIFGSM(ε=8)", "--ensembles"), "at least three models"),
        ((runs[0], runs[0], "--attack", "MIFGSM(ε=8)"), "stands there twice"),
        ((runs[0], runs[1], "--attack", "MIFGSM(ε=8,targeted=true)"), "targeted"),
    ):
        code, _, told = vidrobust("transfer", *arguments)
        assert code and words in " ".join(told.split())
