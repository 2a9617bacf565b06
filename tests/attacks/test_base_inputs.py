"""What would give a silent wrong number is refused with the remedy; types and devices come back as they went in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD, TargetedAPGD
from vidrobust.attacks.base import RobustnessWarning
from vidrobust.attacks.fab import FAB
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.mifgsm import MIFGSM
from vidrobust.attacks.pgd import FGSM, PGD
from vidrobust.attacks.rays import RayS
from vidrobust.attacks.square import Square
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.errors import InputError
from vidrobust.threats import L1, L2, Flicker, Linf, Threat, Universal

SHAPE = (3, 3, 4, 8, 8)
CLIPS = torch.rand(SHAPE, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2])
ATTACK = PGD(Threat(Linf(), 8 / 255), 2 / 255, 2)


def model() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(CLIPS[0].numel(), 3))


class Wrong(nn.Module):
    """A model whose output is not logits."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.inner, self.kind = model(), kind

    def forward(self, clips: Tensor) -> object:
        logits = self.inner(clips)
        return {
            "probabilities": logits.softmax(1),
            "shape": logits[:, :, None],
            "tuple": (logits, logits),
            "nan": logits * torch.nan,
            "a number per clip": logits[:, 0],
            "classes": logits.argmax(1),
            "one clip": logits[:1].mean(0, keepdim=True),
        }[self.kind]


@pytest.mark.parametrize(
    ("clips", "labels", "words"),
    [
        (CLIPS * 255, LABELS, "Divide 8-bit pixels by 255"),
        (CLIPS - 0.5, LABELS, "pixels must lie in"),
        ((CLIPS * 255).to(torch.uint8), LABELS, "Divide 8-bit pixels by 255"),
        (CLIPS.index_fill(4, torch.tensor([3]), torch.nan), LABELS, "pixels must lie in"),
        (CLIPS.transpose(1, 2), LABELS, "B T C H W"),
        (CLIPS.permute(0, 2, 3, 4, 1), LABELS, "B T H W C"),
        (CLIPS[0], LABELS[0], r"clips\[None\]"),
        (CLIPS[:0], LABELS[:0], "empty"),
        (CLIPS[:, :, :0], LABELS, "empty"),
        (CLIPS, LABELS[:2], "3 class indices"),
        (CLIPS, LABELS.float(), "class indices"),
        (CLIPS, LABELS + 1, "3 classes"),
        (CLIPS, LABELS - 1, "class indices from 0"),
    ],
)
def test_inputs_that_are_refused(clips: Tensor, labels: Tensor, words: str) -> None:
    for attack in (ATTACK, FGSM(ATTACK.threat)):
        with pytest.raises(InputError, match=words):
            attack(model(), clips, labels)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("probabilities", "before softmax"),
        ("shape", "logits of shape"),
        ("tuple", "tuple"),
        ("nan", "NaN"),
        ("one clip", "logits of shape"),
    ],
)
@pytest.mark.parametrize("precision", ["auto", "exact"])
def test_outputs_that_are_refused(kind: str, words: str, precision: str) -> None:
    with pytest.raises(InputError, match=words):
        PGD(ATTACK.threat, 2 / 255, 1, precision=precision)(Wrong(kind), CLIPS, LABELS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options",
    [
        {"alpha": 0},
        {"steps": 0},
        {"steps": 1.5},
        {"keep": "first"},
        {"restarts": 0},
        {"restarts": 2, "keep": "last"},
        {"momentum": -1},
    ],
    ids=str,
)
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(InputError):
        PGD(**({"threat": ATTACK.threat, "alpha": 0.1, "steps": 2} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("threat", [Threat(Linf(), 8 / 255), Threat(L2(), 0.5), Threat(L1(), 3.0)], ids=str)
def test_results_come_back_in_the_type_of_the_clips_and_keep_the_budget_there(
    dtype: torch.dtype, threat: Threat
) -> None:
    clips = torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).to(dtype)
    result = PGD(threat, threat.eps / 2, 3, keep="last")(model(), clips, LABELS)
    assert result.clips.dtype == dtype
    assert result.clips.min() >= 0
    assert result.clips.max() <= 1
    delta = (result.clips.double() - clips.double()).flatten(1)
    assert (threat.norm.size(delta) <= threat.eps * (1 + 1e-15)).all()
    assert (delta != 0).any(1).all()
    assert torch.equal(model()(result.clips.float()).argmax(1), result.predicted)  # the verdict is on what is returned


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_models_of_other_types(dtype: torch.dtype) -> None:
    result = ATTACK(model().to(dtype), CLIPS, LABELS)
    expected = ATTACK(model(), CLIPS, LABELS)
    assert result.clips.dtype == torch.float32
    assert torch.equal(result.success, expected.success)


def test_any_callable_will_do() -> None:
    inner = model()
    plain = ATTACK(lambda clips: inner(clips), CLIPS, LABELS)
    assert torch.equal(plain.clips, PGD(ATTACK.threat, 2 / 255, 2, precision="exact")(inner, CLIPS, LABELS).clips)
    assert all(parameter.grad is None for parameter in inner.parameters())


def test_labels_of_any_integer_type() -> None:
    expected = ATTACK(model(), CLIPS, LABELS)
    assert torch.equal(ATTACK(model(), CLIPS, LABELS.to(torch.uint8)).clips, expected.clips)


def test_keep_best_counts_what_it_spends_and_lets_broken_clips_go() -> None:
    inner, seen = model(), []

    def counting(clips: Tensor) -> Tensor:
        seen.append(len(clips))
        return inner(clips)

    with torch.no_grad():
        right = inner(CLIPS).argmax(1)
    labels = right.clone()
    labels[0] = (right[0] + 1) % 3  # broken before it starts
    result = PGD(Threat(Linf(), 1e-4), 1e-5, 4)(counting, CLIPS, labels)
    assert result.success.tolist() == [True, False, False]
    assert result.backwards.tolist() == [1, 4, 4]
    assert result.forwards.tolist() == [3, 6, 6]  # with the confirmation of the broken one, and the verdict
    assert torch.equal(result.queries, result.forwards - 1)
    assert torch.equal(result.clips[0], CLIPS[0])
    assert sum(seen) - 3 == int(result.forwards.sum())  # less the measure of memory


def test_restarts_go_on_with_the_survivors_and_never_do_worse() -> None:
    inner = model()
    with torch.no_grad():
        labels = inner(CLIPS).argmax(1)
    threat = Threat(Linf(), 0.004)
    one, three = (PGD(threat, 0.001, 3, restarts=restarts)(inner, CLIPS, labels) for restarts in (1, 3))
    assert (three.success >= one.success).all()
    assert (three.loss >= one.loss - 1e-6).all()
    assert (three.backwards[~one.success] > one.backwards[~one.success]).all()
    assert torch.equal(three.backwards[one.success], one.backwards[one.success])


def test_targeted_attacks_reach_their_target() -> None:
    inner = model()
    with torch.no_grad():
        target = (inner(CLIPS).argmax(1) + 1) % 3
    result = PGD(Threat(Linf(), 0.3), 0.05, 20, targeted=True)(inner, CLIPS, target)
    assert result.success.all()
    assert torch.equal(result.predicted, target)
    trajectory = list(PGD(Threat(Linf(), 0.3), 0.05, 5, targeted=True).trajectory(inner, CLIPS, target))
    assert (trajectory[-1].loss < trajectory[0].loss).all()


def test_momentum_changes_the_path_and_not_the_budget() -> None:
    nonlinear = nn.Sequential(nn.Conv3d(3, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(8 * 2 * 6 * 6, 3))
    paths = [PGD(Threat(Linf(), 0.3), 0.2, 6, keep="last", momentum=m)(nonlinear, CLIPS, LABELS) for m in (0.0, 1.0)]
    assert not torch.equal(paths[0].clips, paths[1].clips)
    assert (paths[1].clips - CLIPS).abs().max() <= 0.3


def test_fgsm_with_a_random_start_depends_on_its_seed() -> None:
    threat = Threat(Linf(), 8 / 255)
    runs = [FGSM(threat, random_start=True, seed=seed)(model(), CLIPS, LABELS).clips for seed in (0, 0, 1)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert all((clips - CLIPS).abs().max() <= 8 / 255 for clips in runs)


def test_a_budget_of_zero_is_the_clip_itself() -> None:
    for attack in (FGSM(Threat(Linf(), 0.0)), PGD(Threat(L2(), 0.0), 0.1, 2), PGD(Threat(L1(), 0.0), 0.1, 2)):
        assert torch.equal(attack(model(), CLIPS, LABELS).clips, CLIPS)


def test_shared_perturbations_keep_all_clips_to_the_end() -> None:
    result = PGD(Threat(Linf(), 0.1, Universal()), 0.02, 4, restarts=2)(model(), CLIPS, LABELS)
    assert result.backwards.tolist() == [8, 8, 8]


class Standardised(nn.Module):
    """A model that divides by a clip's contrast, and so has no answer for a clip of one colour."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = model()

    def forward(self, clips: Tensor) -> Tensor:
        flat = clips.flatten(1)
        return self.inner((flat - flat.mean(1, keepdim=True)) / flat.std(1, keepdim=True))


def test_a_first_question_at_the_edge_does_not_condemn_a_model() -> None:
    net = Standardised()
    result = RayS(Threat(Linf(), 0.1), queries=20)(net, CLIPS, net(CLIPS).argmax(1))  # asks for white clips first
    assert result.clips.isfinite().all() and result.loss.isfinite().all()


SEARCHES: dict[str, Any] = {
    "saliency": FrameSaliency(ATTACK, 1),
    "iterative saliency": FrameSaliency(ATTACK, 1, iterative=True),
    "EOT": EOT(ATTACK, 2),
    "RayS": RayS(ATTACK.threat, 5),
    "trajectory": lambda *given: list(ATTACK.trajectory(*given)),
}


@pytest.mark.parametrize("kind", ["probabilities", "shape", "tuple", "nan", "a number per clip", "classes"])
@pytest.mark.parametrize("search", SEARCHES)
def test_every_way_to_an_answer_checks_it(search: str, kind: str) -> None:
    with pytest.raises(InputError, match=r"the model (must give logits|gives)"):
        SEARCHES[search](Wrong(kind).eval(), CLIPS, LABELS)


@pytest.mark.parametrize("search", SEARCHES)
def test_labels_beyond_the_last_class_are_refused_by_every_search(search: str) -> None:
    with pytest.raises(InputError, match="3 classes"):
        SEARCHES[search](model(), CLIPS, LABELS + 1)


@pytest.mark.parametrize("search", SEARCHES)
def test_short_labels_and_inference_mode_do_no_harm(search: str) -> None:
    net = model()
    assert SEARCHES[search](net, CLIPS, LABELS.int())
    with torch.inference_mode():
        inside = CLIPS.clone()
        assert SEARCHES[search](net, inside, LABELS.clone())
    assert SEARCHES[search](net, inside, LABELS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_wrapped_models_keep_weights_of_their_own_type(dtype: torch.dtype) -> None:
    net = model().to(dtype)
    for attack in (EOT(ATTACK, 2), BPDA(ATTACK, lambda clips: (clips * 16).round() / 16)):
        result = attack(net, CLIPS, LABELS)
        assert result.clips.dtype == torch.float32 and result.loss.isfinite().all()


def test_what_is_no_tensor_is_named() -> None:
    with pytest.raises(InputError, match="clips must be a tensor, but are ndarray"):
        ATTACK(model(), CLIPS.numpy(), LABELS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="labels must be a tensor, but are list"):
        ATTACK(model(), CLIPS, LABELS.tolist())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: replace(ATTACK, steps=3.0), "steps must be a whole number"),
        (lambda: replace(ATTACK, steps=torch.nan), "steps must be a whole number"),
        (lambda: replace(ATTACK, steps="3"), "steps must be a whole number"),
        (lambda: replace(ATTACK, alpha=torch.inf), "finite"),
        (lambda: replace(ATTACK, momentum=torch.inf), "momentum must be a finite number"),
        (lambda: replace(ATTACK, seed=0.5), "seed must be a whole number"),
        (lambda: FGSM(ATTACK.threat, seed=2**70), "seed must be a whole number"),
        (lambda: MIFGSM(ATTACK.threat, decay=torch.nan), "decay must be a finite number"),
        (lambda: Threat(Linf, 0.1), r"norm must be an object such as Linf\(\)"),
        (lambda: Threat(Linf(), [[0.1], 0.1]), "as many numbers for each clip"),
        (lambda: Flicker(roughness=torch.nan), "at least 0 and finite"),
        (lambda: replace(ATTACK, precision="exat")(model(), CLIPS, LABELS), 'precision must be "auto" or "exact"'),
    ],
)
def test_values_that_mean_nothing_are_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        make()


@pytest.mark.parametrize("attack", [PGD, APGD])
def test_a_loss_that_is_a_mean_is_refused(attack: Any) -> None:
    settings = {"alpha": 0.01} if attack is PGD else {}
    mean = attack(ATTACK.threat, steps=2, loss=nn.functional.cross_entropy, **settings)
    with pytest.raises(InputError, match="one number per clip"):
        mean(model(), CLIPS, LABELS)


@pytest.mark.parametrize("eps", [0.125, 0.25, 8 / 255])
def test_double_clips_keep_their_budget_to_the_last_bit(eps: float) -> None:
    """In exact arithmetic: a sum in float64 may be rounded away from the clip."""
    clips = torch.rand(SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) ** 7
    found = PGD(Threat(Linf(), eps), eps, 1, keep="last")(model(), clips, LABELS).clips
    pairs = zip(found.flatten().tolist(), clips.flatten().tolist(), strict=True)
    assert all(abs(Fraction(after) - Fraction(before)) <= Fraction(eps) for after, before in pairs)
    assert found.min() >= 0 and found.max() <= 1


def test_one_class_is_no_choice() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(CLIPS[0].numel(), 1))
    for attack in (FAB(ATTACK.threat, 2), TargetedAPGD(ATTACK.threat, 2)):
        with pytest.raises(InputError, match="1 class"):
            attack(net, CLIPS, torch.zeros_like(LABELS))


def test_no_answer_on_perturbed_clips_is_told() -> None:
    net = model()

    def brittle(clips: Tensor) -> Tensor:
        logits = net(clips)
        return torch.where(torch.isin(clips, CLIPS).flatten(1).all(1, keepdim=True), logits, torch.nan)

    with pytest.warns(RobustnessWarning, match="NaN for 3 of 3 perturbed clips"):
        replace(ATTACK, keep="last")(brittle, CLIPS, LABELS)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_frozen_script_can_be_attacked() -> None:
    frozen = torch.jit.freeze(torch.jit.script(model().eval()))
    expected, found = ATTACK(model(), CLIPS, LABELS), ATTACK(frozen, CLIPS, LABELS)
    assert torch.equal(expected.predicted, found.predicted)


@pytest.mark.parametrize(
    "attack", [PGD(Threat(Linf(), 0.1), 0.1, 2), FGSM(Threat(L2(), 1.0)), Square(Threat(Linf(), 0.1))]
)
@pytest.mark.parametrize("as_module", [True, False])
def test_a_model_that_writes_into_its_clips_is_refused_and_they_are_whole(attack: Any, as_module: bool) -> None:
    class Subtracts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = model()

        def forward(self, clips: Tensor) -> Tensor:
            return self.inner(clips.sub_(0.5))

    given, writing = CLIPS.clone(), Subtracts()
    with pytest.raises(InputError, match="in place"):
        attack(writing if as_module else lambda clips: writing(clips), given, torch.tensor([0, 1, 2]))
    assert torch.equal(given, CLIPS)
