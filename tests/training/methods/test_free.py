"""Free adversarial training."""

from __future__ import annotations

from helpers.training import batch_of, objective_of

from vidrobust.data.clips import Clips
from vidrobust.models.building import build


def test_free_uses_each_gradient_for_weights_and_clips(few: Clips) -> None:
    model, batch = build("r3d-small", 10), batch_of(few)
    learner, objectives = objective_of("Free(ε=8,m=3)", model, batch)
    sizes = []
    for objective in objectives:
        objective.outcome().loss.backward()
        sizes.append(sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None))
    assert len(sizes) == 3 and len(set(sizes)) == 3  # the clips moved between the losses
    carried = learner.carried["free0"]
    assert 0 < carried.abs().max() <= 8 / 255 + 1e-6
