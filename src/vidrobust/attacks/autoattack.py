"""AutoAttack on clips: four parameter-free attacks, each on the clips that the earlier ones have not broken.

APGD on cross-entropy, APGD towards nine classes, FAB-T and Square (Croce & Hein, ICML 2020, section 6). Each starts
from the clip alone, with random numbers of the clip's own, so that the result does not depend on a clip's batch.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.base import AttackResult, RobustnessWarning
from vidrobust.attacks.counts import at_least_one
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.searching import SearchState, searching, tensor_seed
from vidrobust.attacks.square import Square
from vidrobust.attacks.stage import StageSearch
from vidrobust.attacks.traits import Traits, attack_cost
from vidrobust.attacks.wrappers import Averaged, seeded_by_clips
from vidrobust.errors import InputError, RunError
from vidrobust.fast.precision import Precision
from vidrobust.losses import cross_entropy, targeted_dlr, targeted_margin
from vidrobust.runs.files import write_atomic
from vidrobust.threats import L1, Threat

if TYPE_CHECKING:
    from torch import Tensor

    from vidrobust.types import ClipTensor, Labels, Logits


@dataclass(frozen=True)
class EnsembleResult(AttackResult):
    """What an ensemble found.

    Attributes:
        standing: after each stage, how many clips were still classified correctly; ``clean`` comes first.
        flags: signs that the robustness measured here is too high, as text.
    """

    standing: dict[str, int]
    flags: tuple[str, ...]


@dataclass(frozen=True)
class AutoAttack(Traits):
    """The standard ensemble: APGD-CE, APGD-T, FAB-T, Square, on survivors only (Croce & Hein, ICML 2020, section 6).

    With fewer than 4 classes the targeted DLR loss does not exist; APGD-T then takes the plain margin to the target,
    which has the same gradient direction up to scale where no third class interferes. With 2 classes it has one target.

    It looks out for signs of masked gradients and says so by a :class:`RobustnessWarning` and in the result: a model
    that gives another answer when asked again (wrap the attack in :class:`~vidrobust.attacks.wrappers.EOT`), clips
    whose gradient is zero or not finite, and clips that Square breaks after all attacks with gradients have failed. A
    model that gives probabilities is refused.

    Args:
        threat: where the perturbed clips may lie; with one shared perturbation there are no survivors to go on with.
        steps: gradients of APGD and FAB per run.
        targets: of APGD-T and FAB-T (under L1, APGD-T has 5 at most).
        queries: of Square.
        seed: of all random numbers.
        state: a folder for what is finished, one file per batch; a call that was killed goes on after its last whole
            stage. The file's name is that of its content: another model, threat, setting or batch never meets it.
        precision: as in :class:`~vidrobust.attacks.apgd.APGD`.

    Raises:
        InputError: a value is out of its range, or the threat makes no sense for one of the four.

    >>> import torch
    >>> from vidrobust.threats import Linf
    >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 2 * 4 * 4, 5))
    >>> clips = torch.rand(5, 3, 2, 4, 4)
    >>> attack = AutoAttack(Threat(Linf(), eps=1.0), steps=10, queries=20)
    >>> attack(model, clips, model(clips).argmax(1)).standing
    {'clean': 5, 'APGD-CE': 0, 'APGD-T': 0, 'FAB-T': 0, 'Square': 0}
    """

    threat: Threat
    steps: int = 100
    targets: int = 9
    queries: int = 5000
    seed: int = 0
    state: str | Path | None = None
    precision: Precision = "auto"

    norms, budgets_a_frame, one_for_all = FAB.norms, False, False

    def __post_init__(self) -> None:
        at_least_one(steps=self.steps, targets=self.targets, queries=self.queries)
        self.stages(10)  # each checks the threat

    def stages(self, classes: int) -> dict[str, StageSearch]:
        """The attacks by name, in their order."""
        sparse = isinstance(self.threat.norm, L1)
        loss = targeted_dlr if classes >= 4 else targeted_margin
        common = {"seed": self.seed, "precision": self.precision}
        restarts, targets = (5, min(self.targets, 5)) if sparse else (1, self.targets)
        return {
            "APGD-CE": APGD(self.threat, self.steps, cross_entropy, restarts, **common),
            "APGD-T": TargetedAPGD(self.threat, self.steps, targets, loss, **common),
            "FAB-T": FAB(self.threat, self.steps, self.targets, **common),
            "Square": Square(self.threat, self.queries, **common),
        }

    @property
    def cost(self) -> int:
        return 1 + sum(attack_cost(stage) for stage in self.stages(10).values())

    def __call__(self, model: Callable[[ClipTensor], Logits], clips: ClipTensor, labels: Labels) -> EnsembleResult:
        """Attack ``clips`` (``B C T H W`` in [0, 1]) of classes ``labels`` (``B``); the model is left as it was.

        Raises:
            InputError: clips, labels, the model's output or a state file are not what they must be.
            RunError: the state cannot be written or read.
        """
        with searching(model, self.threat, clips, labels, cross_entropy, self.precision) as run:
            if run.feasible.shared:
                raise InputError(
                    "AutoAttack goes on with the clips that survive, but the threat shares one perturbation among all "
                    "clips. Take PGD, APGD or Square."
                )
            file = None if self.state is None else Path(self.state) / f"{self._key(run, clips, labels)}.safetensors"
            progress = EnsembleState.load(file, run) or EnsembleState.begin(run)
            for number, (name, stage) in enumerate(self.stages(progress.classes).items(), start=1):
                if name not in progress.standing:
                    with seeded_by_clips(
                        self.seed + number, clips
                    ):  # what a random model draws depends on no earlier stage
                        if not run.over:
                            stage.search(run)
                    progress.standing[name] = int((~run.broken).sum())
                    progress.save(file, run)
            run.aim(cross_entropy)
            with seeded_by_clips(self.seed, clips):
                found, flags = run.result(), progress.flags()
        for flag in flags:
            warnings.warn(flag, RobustnessWarning, stacklevel=2)
        values = {field.name: getattr(found, field.name) for field in fields(AttackResult)}
        return EnsembleResult(**values, standing=progress.standing, flags=flags)

    def _key(self, run: SearchState, clips: ClipTensor, labels: Labels) -> str:
        """The name of what determines the result: settings, weights, clips, labels and what the model says of them."""
        settings = [repr(getattr(self, field.name)) for field in fields(self) if field.name != "state"]
        digest = hashlib.sha256(json.dumps(settings).encode())
        model = run.subject.model
        tensors = model.state_dict() if isinstance(model, nn.Module) else {}
        with seeded_by_clips(0, clips):
            answers = run.view(run.subject.pixels)
        for name, tensor in (*tensors.items(), ("answers", answers), ("clips", clips), ("labels", labels)):
            digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} {tensor_seed(tensor, 0)}".encode())
        return digest.hexdigest()[:16]


@dataclass
class EnsembleState:
    """Which stages are finished, and what was noticed.

    Attributes:
        classes: of the model.
        standing: clips that stood after each finished stage.
        zero_gradients: clips whose gradient on the clean clip is zero or not finite.
        moved: by how much the logits differ when the model is asked twice, in their own spread.
    """

    classes: int
    standing: dict[str, int]
    zero_gradients: int
    moved: float

    @classmethod
    def begin(cls, run: SearchState) -> EnsembleState:
        """Ask the model twice on the clean clips: three passes, of which one with a gradient."""
        start = run.feasible.start
        run.gradient(start)
        clips = run.feasible.clips(start)
        first, second = run.view(clips), run.view(clips)
        run.forwards += 2
        zero = run.unmoved & ~run.broken
        moved = 0.0 if isinstance(run.subject.model, Averaged) else ((first - second).abs().max() / first.std()).item()
        return cls(first.shape[1], {"clean": int((~run.broken).sum())}, int(zero.sum()), moved)

    def flags(self) -> tuple[str, ...]:
        """Reasons to doubt the measured robustness."""
        found, clips = [], self.standing["clean"]
        if self.moved > 1e-3:
            found.append(
                "the model gives other logits when it is asked again: it is randomised, and its gradients are noise. "
                "Wrap the attack: EOT(AutoAttack(threat))."
            )
        if self.zero_gradients:
            found.append(
                f"the gradient of {self.zero_gradients} of {clips} clips is zero or not finite: attacks with gradients "
                "cannot move them. Look for a saturated output, a quantised input or a detached layer (then: BPDA)."
            )
        white, black = self.standing["FAB-T"], self.standing["Square"]
        if black < white:
            found.append(
                f"Square broke {white - black} of {clips} clips that no attack with gradients could: the gradients are "
                "masked. Do not trust the number; give Square more queries and attack the defence adaptively."
            )
        return tuple(found)

    def save(self, file: Path | None, run: SearchState) -> None:
        """Write what is finished, atomically."""
        if file is None:
            return
        tensors = {name: getattr(run, name).detach().cpu().contiguous() for name in KEPT}
        about = {"vidrobust": json.dumps(vars(self))}
        write_atomic(file, save(tensors, about))

    @classmethod
    def load(cls, file: Path | None, run: SearchState) -> EnsembleState | None:
        """Take up what :meth:`save` wrote, if there is something."""
        if file is None or not file.exists():
            return None
        try:
            with safe_open(file, "pt") as stored:
                tensors: dict[str, Tensor] = {name: stored.get_tensor(name) for name in KEPT}
                progress = cls(**json.loads(stored.metadata()["vidrobust"]))
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            raise RunError(
                f"{file} is damaged or was not written by AutoAttack ({type(error).__name__}: {error}). Delete it and "
                "run again."
            ) from error
        for name, tensor in tensors.items():
            setattr(run, name, tensor.to(getattr(run, name).device))
        return progress


KEPT = ("best", "best_loss", "broken", "forwards", "backwards", "asked", "moved")
"""What of a search outlives a kill."""
