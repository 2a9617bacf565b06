from __future__ import annotations

import pytest

from vidrobust.results.numbers.selection import MissingRowsError
from vidrobust.results.numbers.sensitivity import surface


def test_a_surface_is_sorted_and_pools_the_seeds():
    row = {"kind": "trajectory", "model": "standard", "seed": 0, "eps": 4, "surface": True}
    rows = [
        row | {"alpha": 2.0, "loss": [1.0, 4.0], "correct": [8, 2], "clips": 10},
        row | {"alpha": 1.0, "loss": [1.0, 3.0], "correct": [10, 5], "clips": 10},
        row | {"alpha": 1.0, "loss": [2.0, 6.0, 9.0], "correct": [30, 15, 9], "clips": 30, "seed": 1},
        row | {"alpha": 3.0, "loss": [9.0, 9.0], "correct": [0, 0], "clips": 10, "surface": False},
        row | {"alpha": 3.0, "loss": [9.0, 9.0], "correct": [0, 0], "clips": 10, "model": "AT(ε=8,α=8,i=3)"},
    ]
    found = surface(rows, 4)
    assert found.alphas.tolist() == [1.0, 2.0] and found.steps.tolist() == [0, 1] and found.clips == 10
    assert found.loss.tolist() == [[1.75, 5.25], [1.0, 4.0]]
    assert found.accuracy.tolist() == [[1.0, 0.5], [0.8, 0.2]]
    assert found.ridge.tolist() == [1.0, 1.0]
    with pytest.raises(MissingRowsError, match="ε=8"):
        surface(rows, 8)


def test_a_sweep_of_another_model_alone_is_shown():
    row = {"kind": "trajectory", "model": "AT(ε=8,α=8,i=3)", "seed": 0, "eps": 4, "surface": True}
    found = surface([row | {"alpha": 1.0, "loss": [1.0, 2.0], "correct": [1, 0], "clips": 1}], 4)
    assert found.loss.tolist() == [[1.0, 2.0]]


def test_the_synthetic_surface_has_its_optimum_inside(synthetic):
    found = surface(synthetic.rows(), 8)
    assert found.loss.shape == (13, 31)
    assert 0 < found.loss[:, -1].argmax() < 12
