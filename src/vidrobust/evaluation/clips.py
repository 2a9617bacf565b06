"""Model × clips × attack → rows of counts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch

from vidrobust import losses
from vidrobust.attacks.base import RobustnessWarning, counting, warn_of_no_gradient
from vidrobust.attacks.gradients import input_gradient
from vidrobust.attacks.inputs import check_some_logits
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.searching import tensor_seed
from vidrobust.attacks.traits import needs_gradients
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.attacks.wrappers import seeded_by_clips
from vidrobust.errors import InputError
from vidrobust.evaluation.attempts import Attack, Survivors, attempt
from vidrobust.evaluation.defences import DRAWS, is_random
from vidrobust.evaluation.fields import attack_budget, attack_fields, attack_text, layers
from vidrobust.evaluation.manifest import clips_of
from vidrobust.fast.view import answers, inference_view
from vidrobust.threats import Linf, Threat
from vidrobust.types import PIXEL

if TYPE_CHECKING:
    from torch import Tensor, nn

    from vidrobust.data.clips import Clips
    from vidrobust.runs.rows import Row
    from vidrobust.types import ClipTensor, Logits

BATCH = 64
"""Clips evaluated at once."""

SMALL_BATCH, SMALL = 160, 2**22
"""Clips that are attacked at once where they have few pixels, and how many pixels: as small clips leave a batch, what
remains of a larger one still fills the processor, under PGD in 0.87 of the time."""

NOISE_EPS = 8.0
HUGE_EPS = 128.0
"""Budgets (1/255) of the masking checks: one at which noise must be weaker than PGD, one no defence can survive."""

GradientProgress = Callable[[int], None]


def silent(gradients: int) -> None:
    """Ignores progress."""


def batches(
    clips: Clips, indices: Tensor, device: torch.device, size: int = BATCH
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """(indices, clips, labels) on the device, batch by batch, each clip at its centre."""
    for part in indices.split(size) if len(indices) else ():  # an empty tensor splits into one empty part
        yield part, clips.centre(part).to(device), clips.labels[part].to(device)


def many_at_once(clips: Clips) -> int:
    """How many clips to attack at once: more of small ones."""
    pixels = clips.centre([0]).numel() if len(clips) else SMALL
    return max(BATCH, min(SMALL_BATCH, SMALL // pixels))


def device_of(model: nn.Module) -> torch.device:
    """Where the model's parameters are (the CPU if it has none)."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def clip_ranks(model: nn.Module, clips: Clips) -> Tensor:
    """``N`` int64: how many classes are ranked before the true one, 0 being correct (:func:`vidrobust.losses.ranks`).

    A clip for which the model gives NaN counts as wrong, with a warning.

    Raises:
        InputError: there are no clips, or the output cannot be logits for these labels.
    """
    if len(clips) == 0:
        raise InputError("there are no clips to evaluate.")
    found, silent = torch.empty(len(clips), dtype=torch.int64), torch.zeros(len(clips), dtype=torch.bool)
    with undisturbed(model), torch.no_grad():
        for part, x, y in batches(clips, torch.arange(len(clips)), device_of(model)):
            logits = steady_logits(model, x)
            silent[part] = check_some_logits(logits, x, y).cpu()
            found[part] = losses.ranks(logits, y).cpu()
    warn_of_no_answer(silent)
    return found


def steady_logits(model: nn.Module, clips: ClipTensor) -> Logits:
    """``B K``, the same whenever they are asked for, also of a model that draws at random.

    Behind a random transform they are the mean over draws, as attacks judge them, from a seed of each clip's own.

    Args:
        model: held still by the caller.
        clips: ``B C T H W``.
    """
    if not is_random(model):
        with seeded_by_clips(0, clips):
            found = answers(model)(clips)
        if not torch.is_tensor(found):
            raise InputError(
                f"the model must give logits, one tensor, but gives a {type(found).__name__}: return its logits alone, "
                "or wrap it: lambda clips: model(clips)[0]."
            )
        if found.is_complex():
            raise InputError("the model gives complex numbers, of which none is the largest: return real logits.")
        return found.float()
    found = []
    for clip in clips:
        with seeded_by_clips(tensor_seed(clip, 0), clip):
            found.append(answers(model)(clip.expand(DRAWS, *clip.shape)).float().mean(0))
    return torch.stack(found)


def warn_of_no_answer(silent: Tensor) -> None:
    """Warn of clips (``N`` bool) for which the model gives no finite logits.

    Raises:
        InputError: of all.
    """
    count = int(silent.sum())
    if count == len(silent):
        raise InputError("the model gives NaN or infinite logits for all clips: check its weights.")
    if count:
        text = f"the model gives NaN or infinite logits for {count} of {len(silent)} clips; NaN counts as wrong."
        warnings.warn(text, RobustnessWarning, stacklevel=3)


def accuracy(model: nn.Module, clips: Clips) -> Row:
    """Top-1 and top-5 on the centre clips, as counts.

    Returns:
        An ``accuracy`` row: ``top1``, ``top5`` (within the first ``k`` = min(5, classes)) and ``clips``; ``right``
        and ``within`` have a digit per clip that says which they are.
    """
    found, k = clip_ranks(model, clips), min(5, len(clips.classes))
    top1, topk = int((found == 0).sum()), int((found < k).sum())
    counts: Row = {"kind": "accuracy", "top1": top1, "top5": topk, "k": k, "clips": len(clips)}
    return {**counts, "right": digits(found == 0), "within": digits(found < k), "clips_of": clips_of(clips)}


def digits(mask: Tensor) -> str:
    """A mask (``N`` bool) as rows hold it: a digit per clip."""
    return "".join("1" if one else "0" for one in mask.tolist())


def pgd(eps: float, alpha: float, steps: int) -> PGD:
    """The L∞ PGD of rows: ε and α in units of 1/255, keeping the best iterate."""
    return PGD(Threat(Linf(), eps * PIXEL), alpha * PIXEL, steps)


def survivors(
    model: nn.Module,
    clips: Clips,
    attack: Attack,
    alive: Tensor,
    progress: GradientProgress = silent,
    at_once: int = BATCH,
) -> Survivors:
    """Which of the clips in ``alive`` (``N`` bool) are still classified correctly under the attack, ``at_once`` a time.

    Clips without a usable gradient under cross-entropy are attacked again under the margin loss; of those that had none
    there either a warning tells.
    """
    found = Survivors.start(len(clips))
    for part, x, y in batches(clips, alive.nonzero().flatten(), device_of(model), at_once):
        tried = attempt(attack, model, x, y)
        found.note(part, ~tried.broken, tried)
        progress(tried.spent)
    warn_of_no_gradient(int(found.no_gradient.sum()), int(alive.sum()), what=f"{type(attack).__name__}: ")
    return found


def robustness_row(mask: Tensor, clips: Clips, model: nn.Module) -> Row:
    """A ``robustness`` row of clean clips or videos, from the mask of those that are right."""
    return _row(mask, clips, model, None) | {"no_gradient": 0}


def attacked_row(found: Survivors, clips: Clips, model: nn.Module, attack: Attack) -> Row:
    """A ``robustness`` row of attacked clips or videos."""
    return _row(found.survived, clips, model, attack) | found.row


def _row(mask: Tensor, clips: Clips, model: nn.Module, attack: Attack | None) -> Row:
    counts = {"correct": int(mask.sum()), "clips": len(mask), "survived": digits(mask)}
    eps, alpha, steps = (0.0, 0.0, 0) if attack is None else attack_budget(attack)
    setting = {"kind": "robustness", "eps": eps, "alpha": alpha, "steps": steps}
    of = {"sources": len(set(clips.sources)), "clips_of": clips_of(clips)}
    return {**setting, **counts, **of, **attack_fields(attack, model)}


def robustness_rows(
    model: nn.Module,
    clips: Clips,
    eps: Sequence[float],
    steps: Sequence[int],
    alpha_star: Callable[[float, int], float],
    progress: GradientProgress = silent,
) -> list[Row]:
    """Accuracy against ε under PGD with the step size α*(ε, i), for every ε and every i.

    Clips that are misclassified clean count as broken and cost nothing. So do, at the same i, those that PGD has broken
    at a smaller ε: their perturbation is one of the larger budget, too. The ``cascade`` of a row has these ε, whose
    attacks count with its own.

    Args:
        model: the model, left as it was.
        clips: the clips to attack.
        eps: budgets in units of 1/255; 0 is the clean accuracy.
        steps: iteration counts.
        alpha_star: α*(ε, i) in units of 1/255.
        progress: called with the gradients spent.
    """
    clean = clip_ranks(model, clips) == 0
    at_once, rows = many_at_once(clips), []
    for count in steps:
        alive, smaller = clean, []
        for asked in sorted(eps):
            if asked == 0:
                rows.append({**robustness_row(clean, clips, model), "steps": count})
                continue
            alpha = alpha_star(asked, count)
            attack = pgd(asked, alpha, count)
            found = survivors(model, clips, attack, alive, progress, at_once)
            before = {"cascade": list(smaller)} if smaller else {}
            rows.append({**attacked_row(found, clips, model, attack), "eps": asked, "alpha": alpha, **before})
            alive = found.survived
            smaller.append(asked)
    return rows


def evaluate(
    model: nn.Module, clips: Clips, attacks: Sequence[Attack], progress: GradientProgress = silent
) -> list[Row]:
    """Clean accuracy, then the accuracy under each attack.

    Args:
        model: from clips in [0, 1] to logits; left as it was.
        clips: the clips to attack.
        attacks: such as :class:`vidrobust.attacks.pgd.PGD`.
        progress: called with the gradients spent.

    Returns:
        One ``robustness`` row for the clean clips (ε = 0) and one for each attack, with ``attack`` as text; of attacks
        without gradients with the ``queries`` a clip.

    Raises:
        InputError: ``clips`` are no split of a data set, or ``attacks`` no sequence of attacks, or one is targeted.
    """
    check_attacks(clips, attacks)
    clean = clip_ranks(model, clips) == 0
    rows = [{**robustness_row(clean, clips, model), "attack": "none"}]
    for attack in attacks:
        found = survivors(model, clips, attack, clean, progress)
        row = {**attacked_row(found, clips, model, attack), "attack": attack_text(attack)}
        rows.append(row if needs_gradients(attack) else {**row, "queries": found.queries.tolist()})
    return rows


def check_attacks(clips: object, attacks: object) -> None:
    """Refuse what cannot be clips and attacks on them, before anything is measured.

    Raises:
        InputError: ``clips`` are no split of a data set, or ``attacks`` no sequence of attacks, or one is targeted.
    """
    if not hasattr(clips, "centre") or not hasattr(clips, "labels"):
        what = "a whole data set" if hasattr(clips, "test") else f"a {type(clips).__name__}"
        raise InputError(
            f"clips must be a split of a data set, such as vr.data.motion().test, but are {what}. Tensors are attacked "
            "by the attack itself: attack(model, clips, labels)."
        )
    if isinstance(attacks, str) or not isinstance(attacks, Iterable):
        raise InputError(f"attacks must be a list, such as [vr.PGD(…)], but is {str(attacks)[:60]!r}.")
    for attack in attacks:
        if not callable(attack):
            raise InputError(
                f"an attack must be an object such as vr.PGD(vr.Threat(vr.Linf(), 8 / 255), alpha=2 / 255, steps=10), "
                f"but is {str(attack)[:60]!r}: texts are for the command line."
            )
    refuse_targets(*attacks)


def refuse_targets(*attacks: object) -> None:
    """Refuse attacks, also within others, that would take the true classes of a data set for the classes to reach.

    Raises:
        InputError: one does.
    """
    for layer in (layer for attack in attacks for layer in layers(attack)):
        if getattr(layer, "targeted", False):
            raise InputError(
                f"{type(layer).__name__} is targeted: its labels are the classes to reach, but those of a data set "
                "are the true ones. Take targeted=false (TargetedAPGD and FAB try the wrong classes in turn), or call "
                "the attack in Python with the classes to reach."
            )


def masking(model: nn.Module, clips: Clips, alpha: float, steps: int, seed: int = 0) -> Row:
    """Signs that gradients are masked rather than the model robust (Athalye et al. 2018; Carlini et al. 2019).

    Counts clips whose input gradient is zero or not finite, clips that survive random noise of ±ε against those that
    survive PGD at the same ε, and clips that survive PGD at a budget no classifier can withstand.

    Args:
        model: the model, left as it was.
        clips: the clips to attack.
        alpha: PGD's step size at ε = 8, in units of 1/255; scaled in proportion at the huge ε.
        steps: iterations of PGD.
        seed: of the noise.
    """
    clean = clip_ranks(model, clips) == 0
    zero = 0
    with undisturbed(model):
        for _, x, y in batches(clips, torch.arange(len(clips)), device_of(model)):
            zero += int((~input_gradient(inference_view(model, x, "exact"), x, y).usable).sum())
    with counting():  # that there is no gradient is what the row says
        under_pgd = survivors(model, clips, pgd(NOISE_EPS, alpha, steps), clean)
        huge = survivors(model, clips, pgd(HUGE_EPS, alpha * HUGE_EPS / NOISE_EPS, steps), clean)
    return {
        "kind": "masking",
        "clips": len(clips),
        "zero_gradient": zero,
        "noise_eps": NOISE_EPS,
        "noise_correct": int(_under_noise(model, clips, clean, seed).sum()),
        "pgd_correct": int(under_pgd.survived.sum()),
        "huge_eps": HUGE_EPS,
        "huge_correct": int(huge.survived.sum()),
        "clips_of": clips_of(clips),
    }


def _under_noise(model: nn.Module, clips: Clips, alive: Tensor, seed: int) -> Tensor:
    """Which clips stay right when every pixel moves by ±ε at random."""
    generator = torch.Generator().manual_seed(seed)
    left = torch.zeros_like(alive)
    with undisturbed(model), torch.no_grad():
        for part, x, y in batches(clips, alive.nonzero().flatten(), device_of(model)):
            signs = torch.randint(0, 2, x.shape, generator=generator).to(x) * 2 - 1
            moved = (x + signs * (NOISE_EPS * PIXEL)).clamp(0, 1)
            left[part] = (losses.predicted(answers(model)(moved)) == y).cpu()
    return left
