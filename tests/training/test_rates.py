"""Learning rates of the parts of a network."""

from __future__ import annotations

from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.training.methods.table import fitted
from vidrobust.training.rates import layer_groups


def test_layer_wise_rates_see_the_classifier_behind_what_is_around_it() -> None:
    for text in ("GAT(ε=8,α=4,i=1,width=4)", "MultiBN(AT(ε=8,α=4,i=1),AT(ε=4,α=4,i=1))"):
        model = fitted(build("r3d-small", 10), parse_policy(text))
        scales = {p: group["scale"] for group in layer_groups(model, 0.5, 10.0) for p in group["params"]}
        assert scales.keys() == set(model.parameters())
        assert {name for name, p in model.named_parameters() if scales[p] == 10} == {
            "classifier.fc.weight",
            "classifier.fc.bias",
        }
        assert all(scales[p] == 1 for name, p in model.named_parameters() if not name.startswith("classifier."))
