"""The attack of a policy inside another training loop: attacked batches, on the schedule of its own steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import distributed
from torch.nn.parallel import DataParallel, DistributedDataParallel

from vidrobust.errors import InputError
from vidrobust.notation import parse_policy
from vidrobust.notation.policies import AlphaStar, Policy, Setting
from vidrobust.notation.schedules import Adaptive, Clock, Paced
from vidrobust.training.crafting import policy_threat
from vidrobust.training.learner import Learner
from vidrobust.training.loop import scaled_alpha
from vidrobust.training.methods.adversarial import Adversarial
from vidrobust.training.methods.objectives import Batch
from vidrobust.training.methods.table import method_of
from vidrobust.training.randomness import content_seed
from vidrobust.training.trainer import no_alpha_star

if TYPE_CHECKING:
    from torch import nn

    from vidrobust.fast.precision import Precision
    from vidrobust.types import ClipTensor, Labels


@dataclass(frozen=True)
class TrainingAttack:
    """The attack of a policy, for a training loop of one's own, of Lightning or of the Hugging Face ``Trainer``.

    It holds no state: the loop's own count of steps says where the schedules stand, so a training that goes on from a
    checkpoint goes on with them. The model is left as it was: its mode, ``requires_grad``, gradients, BatchNorm's
    statistics and the random states are untouched.

    Args:
        policy: a method that trains on attacked clips by cross-entropy alone: ``AT``, ``fAT``, ``CAL``, ``Friendly``,
            ``FGSM-RS``, ``N-FGSM`` or ``standard`` (no attack), as text or parsed.
        epochs: of the whole training, at least 1.
        steps: optimiser steps in an epoch, at least 1.
        alpha_star: α*(ε, i) in units of 1/255, for policies that use α*, such as ``vr.step_sizes`` gives.
        seed: of random starts.
        precision: of the attack; ``exact`` runs it on the model itself in its own precision.

    Raises:
        InputError: the policy trains by another loss, or its schedule needs what only :func:`vidrobust.fit` measures.
        NotationError: the policy does not parse.

    Source: Madry et al., ICLR 2018, section 2; schedules as in the slides.

    >>> import vidrobust as vr
    >>> attack = vr.TrainingAttack("CAL(ε~U(0,12),α=2,i=5)", epochs=4, steps=100)
    >>> attack.at(0).eps, attack.at(399).eps
    (0.0, 12.0)
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 5))
    >>> attacked = attack(model, torch.rand(2, 3, 2, 4, 4), torch.tensor([0, 1]), step=399)
    >>> attacked.shape
    torch.Size([2, 3, 2, 4, 4])
    """

    policy: str | Policy
    epochs: int
    steps: int
    alpha_star: AlphaStar = no_alpha_star
    seed: int = 0
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        self.at(0)
        if self.method.policy.needs_alpha_star and self.alpha_star is no_alpha_star:
            no_alpha_star(0.0, 0)

    @cached_property
    def method(self) -> Adversarial:
        """The training method of the policy."""
        policy = parse_policy(self.policy) if isinstance(self.policy, str) else self.policy
        refuse_other_losses(policy)
        policy_threat(policy)
        method = method_of(policy)
        assert isinstance(method, Adversarial)
        return method

    def at(self, step: int) -> Setting:
        """ε and α in units of 1/255, and the iterations, of a step of the training, counted from 0."""
        return self.method.policy.at(self.clock(step), self._alpha)

    def _alpha(self, eps: float, steps: int) -> float:
        return scaled_alpha(self.method.policy, self.alpha_star, eps, steps)

    def clock(self, step: int) -> Clock:
        """Where the schedules stand at a step of the training; behind the last epoch they stay in it.

        Raises:
            InputError: the step is negative, or there are no epochs or steps.
        """
        if min(self.epochs, self.steps) < 1 or step < 0:
            raise InputError(
                f"epochs and steps (of an epoch) must be at least 1 and a step at least 0, not {self.epochs}, "
                f"{self.steps} and {step}."
            )
        epoch, within = divmod(int(step), self.steps)
        return Clock(min(epoch, self.epochs - 1), self.epochs, within, self.steps)

    def __call__(self, model: nn.Module, clips: ClipTensor, labels: Labels, step: int) -> ClipTensor:
        """The clips to train on at a step.

        Args:
            model: from clips to logits, in any mode; of another library's model, ``vr.adapt`` around it.
            clips: ``B C T H W`` float32 in [0, 1], on the device of the model.
            labels: ``B`` int64.
            step: optimiser steps taken before this one, as the loop counts them (``global_step``).

        Returns:
            ``B C T H W`` in [0, 1], without gradients, attacked at the step's setting; ``clips`` where its ε is 0.

        Raises:
            InputError: model, clips and labels do not fit each other.
        """
        rank = distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0
        seeds = tuple(content_seed(self.seed, step, rank, place) for place in range(len(labels)))
        bare = model.module if isinstance(model, (DataParallel, DistributedDataParallel)) else model
        batch = Batch(clips, labels, seeds, self.clock(step), self._alpha)
        with torch.autocast(clips.device.type, enabled=False):
            return self.method.attacked(Learner(bare, precision=self.precision), batch)


def refuse_other_losses(policy: Policy) -> None:
    """Refuse a policy that is more than attacked clips under cross-entropy.

    Raises:
        InputError: its loss, its weights or its schedule are not those of a plain loop.
    """
    why = ""
    if policy.modifiers:
        why = f"{policy.modifiers[0].name} moves or averages the weights"
    elif not isinstance(method_of(policy), Adversarial):
        why = "its loss or its optimiser is its own"
    elif policy.option("mix") or policy.option("smooth"):
        why = "mix and smooth belong to the loss, which is your loop's"
    elif isinstance(policy.eps, (Adaptive, Paced)):
        why = "its ε follows losses or accuracies that are measured between epochs"
    if why:
        raise InputError(
            f"{policy} cannot be used in another training loop: {why}. Take AT, fAT, CAL, Friendly, FGSM-RS or N-FGSM, "
            "or train by vr.fit."
        )
