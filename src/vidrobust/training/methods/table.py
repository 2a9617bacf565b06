"""The one table from the name of a method to its class, and the method of a policy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vidrobust.notation.policies import Policy
from vidrobust.training.methods.adversarial import Adversarial, Friendly, NoisyStart, RandomStart
from vidrobust.training.methods.divergence import Mart, Trades
from vidrobust.training.methods.free import Free
from vidrobust.training.methods.generative import Purifying, PurifyingTogether
from vidrobust.training.methods.intervals import Intervals
from vidrobust.training.methods.mixtures import Branches, Mean, Worst
from vidrobust.training.methods.noise import Denoising, Noisy
from vidrobust.training.methods.weights import Perturbed

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.training.methods.objectives import Method

METHOD_CLASSES: dict[str, Callable[..., Any]] = {
    "standard": Adversarial,
    "AT": Adversarial,
    "fAT": Adversarial,
    "CAL": Adversarial,
    "AAT": Adversarial,
    "TRADES": Trades,
    "MART": Mart,
    "Friendly": Friendly,
    "Free": Free,
    "FGSM-RS": RandomStart,
    "N-FGSM": NoisyStart,
    "APE": Purifying,
    "GAT": PurifyingTogether,
    "IBP": Intervals,
    "Noise": Noisy,
    "Denoise": Denoising,
    "AVG": Mean,
    "MAX": Worst,
    "MultiBN": Branches,
}
"""The class of each family of :data:`vidrobust.notation.families.FAMILIES`, called with a policy and its parts."""


def method_of(policy: Policy | Method) -> Method:
    """The method of a policy, under weight perturbation where the policy says so; a method of your own is one already.

    >>> from vidrobust.notation import parse_policy
    >>> type(method_of(parse_policy("TRADES(ε=8,α=2,i=7)"))).__name__
    'Trades'
    """
    if isinstance(policy, Policy):
        method: Method = METHOD_CLASSES[policy.family](policy, tuple(method_of(part) for part in policy.parts))
    else:
        method = policy
    gamma = method.policy.modifier("AWP")
    return Perturbed(method, gamma) if gamma and not isinstance(method, Perturbed) else method


def name_of(method: Method) -> str:
    """What a model that it trains is called: the policy, or the text of a method of your own."""
    inner = method.method if isinstance(method, Perturbed) else method
    return str(method.policy) if type(inner) is METHOD_CLASSES[method.policy.family] else str(inner)


def fitted(model: nn.Module, policy: Policy | Method, seed: int = 0) -> nn.Module:
    """The model that a policy trains: behind a purifier, with BatchNorm branches, or just ``model``.

    A model that has what the policy needs already comes back as it is.

    Args:
        model: a classifier.
        policy: what will train it, or a method of your own.
        seed: of new weights.

    Raises:
        InputError: it has a purifier of another width than the policy says, or another number of branches.
    """
    return method_of(policy).around(model, seed)
