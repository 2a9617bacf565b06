"""From a policy to the method that carries it out, and to the model that the method needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vidrobust.errors import InputError
from vidrobust.models.multibn import MultiBN, branched
from vidrobust.models.purifier import Purified, purified
from vidrobust.training.methods.adversarial import Adversarial, Free, Mart, Trades
from vidrobust.training.methods.generative import Generative
from vidrobust.training.methods.mixtures import Branches, Mixture
from vidrobust.training.methods.weights import Perturbed

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.notation.policies import Policy
    from vidrobust.training.methods.objectives import Method

METHODS: dict[str, Callable[[Policy], Method]] = {
    "TRADES": Trades,
    "MART": Mart,
    "Free": Free,
    "AVG": Mixture,
    "MAX": Mixture,
    "MultiBN": Branches,
    "APE": Generative,
    "GAT": Generative,
}
"""The families that are not plain adversarial training."""


def method_of(policy: Policy) -> Method:
    """The method of a policy, under weight perturbation where the policy says so.

    >>> from vidrobust.notation import parse_policy
    >>> type(method_of(parse_policy("TRADES(ε=8,α=2,i=7)"))).__name__
    'Trades'
    """
    method = METHODS.get(policy.family, Adversarial)(policy)
    gamma = policy.modifier("AWP")
    return Perturbed(method, gamma) if gamma else method


def fitted(model: nn.Module, policy: Policy, seed: int = 0) -> nn.Module:
    """The model that a policy trains: behind a purifier, with BatchNorm branches, or just ``model``.

    A model that has what the policy needs already comes back as it is.

    Raises:
        InputError: it has a purifier of another width than the policy says, or another number of branches.

    Args:
        model: a classifier.
        policy: what will train it.
        seed: of new weights.
    """
    if policy.family in ("APE", "GAT"):
        return _behind_purifier(model, policy, seed)
    if policy.family == "MultiBN":
        return _with_branches(model, len(policy.parts) + 1, seed)
    return model


def _behind_purifier(model: nn.Module, policy: Policy, seed: int) -> nn.Module:
    width = int(policy.option("width"))
    channels = (width, 2 * width, 4 * width)
    if not isinstance(model, Purified):
        return purified(model, channels, seed).to(next(model.parameters()).device)
    found = getattr(model.purifier, "channels", channels)
    if "width" in dict(policy.options) and tuple(found) != channels:
        raise InputError(f"the model's purifier has channels {tuple(found)}, not width={width}: leave the width out.")
    return model


def _with_branches(model: nn.Module, branches: int, seed: int) -> nn.Module:
    if not isinstance(model, MultiBN):
        return branched(model, branches, seed).to(next(model.parameters()).device)
    if model.branches != branches:
        raise InputError(f"the model has {model.branches} BatchNorm branches, and this policy needs {branches}.")
    return model
