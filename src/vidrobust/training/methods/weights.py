"""Adversarial weight perturbation, and averages of the weights over training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vidrobust.errors import InputError
from vidrobust.training.learner import statistics_frozen, statistics_of

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.optim import Optimizer

    from vidrobust.notation.policies import Policy
    from vidrobust.training.config import FitConfig
    from vidrobust.training.learner import Learner
    from vidrobust.training.methods.objectives import Batch, Method, Objective


@dataclass(frozen=True)
class Perturbed:
    """Any method under adversarial weight perturbation (AWP; Wu, Xia and Wang, NeurIPS 2020, algorithm 1).

    Before each loss, the weights are moved in the direction of the gradient by ``gamma`` times their own norm; after
    its backward pass, they are restored. BatchNorm's running statistics are updated with the original weights only.

    Attributes:
        method: what is perturbed.
        gamma: length of the perturbation relative to each weight tensor's own, at least 0.
    """

    method: Method
    gamma: float

    @property
    def policy(self) -> Policy:
        """The policy of the method."""
        return self.method.policy

    def around(self, model: nn.Module, seed: int) -> nn.Module:
        """As the method does."""
        return self.method.around(model, seed)

    @property
    def whole(self) -> bool:
        """As the method's."""
        return self.method.whole

    def prepare(self, learner: Learner) -> None:
        """As the method does."""
        self.method.prepare(learner)

    def optimisers(self, learner: Learner, config: FitConfig) -> Mapping[str, Optimizer]:
        """Those of the method."""
        return self.method.optimisers(learner, config)

    def objectives(self, learner: Learner, batch: Batch) -> Iterator[Objective]:
        """The method's losses, those of the model with its weights moved."""
        for objective in self.method.objectives(learner, batch):
            if objective.of != "model":
                yield objective
                continue
            back = ascend_weights(learner, objective, self.gamma)
            yield replace(objective, settle=back)


def ascend_weights(learner: Learner, objective: Objective, gamma: float) -> Callable[[], None]:
    """Move weight matrices and kernels along the loss gradient; the function returned restores them, bit for bit."""
    weights = [weight for weight in learner.model.parameters() if weight.requires_grad and weight.ndim > 1]
    with statistics_frozen(learner.model):
        gradients = torch.autograd.grad(objective.outcome().loss, weights, allow_unused=True)
    pairs = [(weight, gradient) for weight, gradient in zip(weights, gradients, strict=True) if gradient is not None]
    learner.world.mean_([gradient for _, gradient in pairs])
    saved = [(weight, weight.detach().clone()) for weight, _ in pairs]
    with torch.no_grad():
        ratios = [gamma * weight.norm() / gradient.norm() for weight, gradient in pairs]
        for (weight, gradient), ratio in zip(pairs, to_floats(ratios), strict=True):
            if math.isfinite(ratio):  # not where the gradient is 0
                weight.add_(gradient, alpha=ratio)

    @torch.no_grad()
    def back() -> None:
        for weight, before in saved:
            weight.copy_(before)

    return back


def to_floats(tensors: Sequence[Tensor]) -> list[float]:
    """Tensors of one element as numbers; the host waits for the device once for all of them."""
    whole = [getattr(tensor, "full_tensor", lambda tensor=tensor: tensor)() for tensor in tensors]
    return torch.stack(whole).tolist() if whole else []


class WeightAverage:
    """The average of the weights that a policy asks for: EMA, SWA or none.

    EMA is the exponential moving average over steps, buffers included; SWA the plain mean over the epochs after its
    start (Izmailov et al., UAI 2018).
    """

    def __init__(self, model: nn.Module, policy: Policy) -> None:
        self.ema, self.swa = policy.modifier("EMA"), policy.modifier("SWA")
        self.model: AveragedModel | None = None
        if self.ema is None and self.swa is None:
            return
        average = None if self.ema is None else get_ema_multi_avg_fn(self.ema)
        try:
            self.model = AveragedModel(model, multi_avg_fn=average, use_buffers=True)
        except (RuntimeError, TypeError) as error:
            raise InputError(
                f"the model cannot be copied, as {'SWA' if self.ema is None else 'EMA'} needs it ({error}): where it "
                "has torch.nn.utils.weight_norm, take the one of torch.nn.utils.parametrizations."
            ) from error

    def after_step(self, model: nn.Module) -> None:
        """Call it after each optimiser step."""
        if self.ema is not None and self.model is not None:
            self._update(self.model, model)

    def after_epoch(self, model: nn.Module, progress: float) -> None:
        """Call it after each epoch, with the fraction of training that is done."""
        if self.swa is not None and self.model is not None and progress > self.swa:
            self._update(self.model, model)

    @staticmethod
    @torch.no_grad()
    def _update(average: AveragedModel, model: nn.Module) -> None:
        """Update the average; copy what has no mean: integers, and constants that are infinite (a mask)."""
        average.update_parameters(model)
        averaged = {*statistics_of(model), *(weight for weight in model.parameters() if weight.requires_grad)}
        pairs = [
            *zip(average.module.parameters(), model.parameters(), strict=True),
            *zip(average.module.buffers(), model.buffers(), strict=True),
        ]
        for mean, now in pairs:
            if now not in averaged:
                mean.copy_(torch.where(now.isfinite(), mean, now) if now.is_floating_point() else now)

    @property
    def started(self) -> bool:
        """Whether anything has been averaged yet."""
        return self.model is not None and int(self.model.n_averaged) > 0

    def exchange(self, model: nn.Module) -> dict[str, Tensor] | None:
        """Load the average into the model and return the weights it had; None if nothing has been averaged yet."""
        if not self.started:
            return None
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(self.weights())
        return before

    def state(self) -> dict[str, Tensor]:
        """The state for a checkpoint."""
        return {} if self.model is None else dict(self.model.state_dict())

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load what :meth:`state` returned."""
        if self.model is not None:
            self.model.load_state_dict(dict(tensors))

    def weights(self) -> dict[str, Tensor]:
        """The averaged model's tensors, by the model's own names."""
        assert self.model is not None
        return dict(self.model.module.state_dict())
