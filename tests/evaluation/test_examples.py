from __future__ import annotations

import torch

from vidrobust.attacks.pgd import PGD
from vidrobust.evaluation.clips import clip_ranks
from vidrobust.evaluation.examples import examples
from vidrobust.runs.schema import fault
from vidrobust.threats import Linf, Threat


def test_an_example_says_how_many_gradients_its_attack_took(trained, small_data, tmp_path):
    right = small_data.test.subset((clip_ranks(trained, small_data.test) == 0).nonzero().flatten()).spread(6)
    attack = PGD(Threat(Linf(), 64 / 255), 16 / 255, 10)
    rows = examples(trained, right, attack, tmp_path / "job", {"model": "m", "eps": 64.0, "alpha": 16.0, "steps": 10})
    spent = attack(trained, right.centre(range(len(right))), right.labels).backwards
    assert [row["gradients"] for row in rows] == spent.tolist()
    assert min(spent) < 10 and torch.is_tensor(spent)  # some broke before the last step
    assert [fault(row) for row in rows] == [None] * len(rows)
