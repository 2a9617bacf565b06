"""Judgements: what fools weak evaluations is named or its true number found, and honest models are trusted."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from helpers import linear_models
from helpers.judged import QUICK, clips, conv, judged, linear, made, trained
from helpers.planted import PLANTED, Turned, Wrapped
from torch import Tensor, nn

from vidrobust.data.given import Given
from vidrobust.evaluation.attacked_model import AttackedModel
from vidrobust.evaluation.checklist import AT_ONCE, noise
from vidrobust.evaluation.consistency import check_consistency
from vidrobust.evaluation.judging import batches_noted, clean_answers, run_stage, start_case, worst_case_row
from vidrobust.evaluation.worst_case import WorstCase
from vidrobust.models.diagnosis import self_test
from vidrobust.results.numbers.rules import Measured
from vidrobust.results.numbers.selection import WORST_CASE
from vidrobust.results.numbers.verdict import Verdict
from vidrobust.runs.schema import fault
from vidrobust.study.judgement import seconds_a_gradient
from vidrobust.study.judging import Opened
from vidrobust.threats import L2, Linf, Threat, Universal

CLASSES, EPS = 4, 14.0

HONEST: dict[str, tuple[Callable[[], nn.Module], int, float, float]] = {
    "linear, 3 classes": (lambda: linear(3), 3, 0.0, 20.9),
    "linear, 2 classes": (lambda: linear(2), 2, 0.0, 22.3),
    "linear, 6 classes, adversarially": (lambda: linear(6), 6, 16 / 255, 22.5),
    "convolutional, 4 classes": (lambda: conv(4), 4, 0.0, 10.0),
    "convolutional, 4 classes, adversarially": (lambda: conv(4), 4, 16 / 255, 12.0),
    "convolutional, 2 classes, adversarially": (lambda: conv(2), 2, 16 / 255, 16.0),
    "batch norm, 5 classes, adversarially": (lambda: conv(5, 8, True), 5, 16 / 255, 10.0),
    "batch norm, 3 classes": (lambda: conv(3, 4, True), 3, 0.0, 8.0),
    "convolutional, hardly attacked": (lambda: conv(4, 5), 4, 8 / 255, 2.0),
}
"""By name: the model, its classes, the ε of its training and that of the judgement (1/255)."""


@pytest.fixture(scope="module")
def base() -> nn.Module:
    return trained(made(lambda: conv(CLASSES)), CLASSES, 16 / 255)


@pytest.fixture(scope="module")
def shown() -> tuple[Tensor, Tensor]:
    found, labels = clips(CLASSES, 12, 7)
    return (found * 255).round() / 255, labels


@pytest.fixture(scope="module")
def true(base: nn.Module, shown: tuple[Tensor, Tensor]) -> int:
    verdict, case = judged(base, *shown, EPS)
    standing = len(case.standing(EPS / 255))
    assert verdict.trust and 0 < standing < len(shown[0])
    return standing


@pytest.mark.parametrize("name", HONEST)
def test_honest_models_are_trusted(name: str) -> None:
    build, classes, eps, asked = HONEST[name]
    model = trained(made(build), classes, eps)
    verdict, case = judged(model, *clips(classes, 12, 7), asked)
    assert verdict.trust, [str(reason) for reason in verdict.reasons]
    assert len(case.standing(asked / 255)) > 0


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_failure_never_gets_its_number_trusted(
    name: str, base: nn.Module, shown: tuple[Tensor, Tensor], true: int
) -> None:
    verdict, case = judged(PLANTED[name](base, *shown).eval(), *shown, EPS)
    assert not verdict.trust or len(case.standing(EPS / 255)) <= true


@pytest.mark.parametrize("draws", [1, 7, 60])
def test_every_clip_that_stands_gets_its_draws_of_noise(
    draws: int, base: nn.Module, shown: tuple[Tensor, Tensor]
) -> None:
    found = clean_answers(base, *shown, QUICK)
    case, _ = start_case(base, *shown, [Threat(Linf(), 1e-6)], found, QUICK)
    asked: list[int] = []
    handle = base.register_forward_pre_hook(lambda module, inputs: asked.append(len(inputs[0])))
    measured = noise(case, draws)
    handle.remove()
    assert measured == Measured("noise", 0, int(found.right.sum()))
    assert sum(asked) == draws * measured.of
    assert max(asked) <= AT_ONCE


def test_noise_breaks_the_same_clips_where_a_fast_copy_is_asked_first(
    base: nn.Module, shown: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> tuple[Measured, Tensor]:
        case, _ = start_case(base, *shown, [Threat(Linf(), 60 / 255)], clean_answers(base, *shown, QUICK), QUICK)
        return noise(case, 20), case.distance

    sifted, nearest = broken()
    monkeypatch.setattr(AttackedModel, "clearly_right", lambda self, clips, labels: torch.zeros(len(clips)) > 0)
    assert 0 < sifted.count < sifted.of
    assert (sifted, nearest.tolist()) == (broken()[0], broken()[1].tolist())


class GradientMode(Wrapped):
    """Answers otherwise when it is being differentiated."""

    def forward(self, clips: Tensor) -> Tensor:
        logits = self.classifier(clips)
        if not clips.requires_grad:
            return logits
        return 1e-3 * logits + F.one_hot(logits.argmax(1), logits.shape[1])


class OfTheBatch(Wrapped):
    """Logits relative to those of the batch."""

    def forward(self, clips: Tensor) -> Tensor:
        logits = self.classifier(clips)
        return logits - logits.mean(0)


class Backwards(Wrapped):
    """Its logits have the wrong gradient; no layer comes after."""

    def forward(self, clips: Tensor) -> Tensor:
        return Turned.apply(self.classifier(clips))


class Clamped(Wrapped):
    """Logits cut off where they are sure."""

    def forward(self, clips: Tensor) -> Tensor:
        return (self.classifier(clips) * 100).clamp(-1, 1)


class Tired(Wrapped):
    """After so many questions, it gives the answers it knows to be right."""

    def __init__(self, classifier: nn.Module, clips: Tensor, labels: Tensor) -> None:
        super().__init__(classifier)
        self.asked, self.seen, self.answers = 0, clips.flatten(1), labels

    def forward(self, clips: Tensor) -> Tensor:
        self.asked += 1
        logits = self.classifier(clips)
        if self.asked < 60:
            return logits
        nearest = torch.cdist(clips.detach().flatten(1), self.seen, p=torch.inf).argmin(1)
        return 10 * F.one_hot(self.answers[nearest], logits.shape[1]).float() + 0 * logits


class OffGrid(Wrapped):
    """Knows that pixels between the 256 levels are an attack, and answers with the nearest clip it remembers."""

    def __init__(self, classifier: nn.Module, clips: Tensor, labels: Tensor) -> None:
        super().__init__(classifier)
        self.seen, self.answers = clips.flatten(1), labels

    def forward(self, clips: Tensor) -> Tensor:
        logits = self.classifier(clips)
        nearest = torch.cdist(clips.detach().flatten(1), self.seen, p=torch.inf).argmin(1)
        known = 10 * F.one_hot(self.answers[nearest], logits.shape[1]).float()
        between = ((clips * 255 - (clips * 255).round()).abs() > 1e-3).flatten(1).any(1)
        return torch.where(between[:, None], known, logits)


class Pseudorandom(Wrapped):
    """Noise that follows from the clip: the same clip, the same noise."""

    def forward(self, clips: Tensor) -> Tensor:
        with torch.no_grad():
            noise = ((clips * 98765.4321).sin() * 43758.5453).frac()
        return self.classifier(clips + 0.1 * noise)


class Remembering(Wrapped):
    """Leans on the answer that it gave to the first clip like this one: it has no seed and no clip of ours inside."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__(classifier)
        self.asked, self.said = torch.empty(0), torch.empty(0)

    def forward(self, clips: Tensor) -> Tensor:
        logits, flat = self.classifier(clips), clips.detach().flatten(1)
        if not len(self.asked):
            self.asked, self.said = flat, logits.detach()
            return logits
        distance, nearest = torch.cdist(flat, self.asked, p=torch.inf).min(1)
        known, new = self.said[nearest], distance > 20 / 255
        self.asked, self.said = torch.cat([self.asked, flat[new]]), torch.cat([self.said, logits.detach()[new]])
        return torch.where(new[:, None], logits, known + 0.2 * (logits - known))


UNSEEN: dict[str, tuple[Callable[[nn.Module, Tensor, Tensor], nn.Module], str]] = {
    "gradient mode": (lambda model, clips, labels: GradientMode(model), "gradient mode"),
    "of the batch": (lambda model, clips, labels: OfTheBatch(model), "batch"),
    "turned gradient": (lambda model, clips, labels: Backwards(model), "misleading gradients"),
    "clamped logits": (lambda model, clips, labels: Clamped(model), "unavailable gradients"),
    "tired": (Tired, "drift"),
    "remembering": (lambda model, clips, labels: Remembering(model), "drift"),
    "off the grid": (OffGrid, "unavailable gradients"),
    "pseudorandom": (lambda model, clips, labels: Pseudorandom(model), "misleading gradients"),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_what_is_wrong_is_named(name: str, base: nn.Module, shown: tuple[Tensor, Tensor]) -> None:
    make, rule = UNSEEN[name]
    verdict, _ = judged(make(base, *shown).eval(), *shown, EPS)
    assert rule in rules(verdict)


def test_a_memory_of_answers_is_told_from_a_model_without_one(base: nn.Module, shown: tuple[Tensor, Tensor]) -> None:
    """By the question that looks for it alone: no attack, and no other check, has a part in it."""

    def drift(model: nn.Module) -> Measured:
        (found,) = [one for one in check_consistency(model.eval(), *shown).measured if one.name == "drift"]
        return found

    assert drift(base).count == 0
    remembered = drift(Remembering(base))
    assert remembered.count > 0 and remembered.told == "clips like them had been asked about"


def rules(verdict: Verdict) -> set[str]:
    return {reason.rule for reason in verdict.reasons}


class Falters(Wrapped):
    """Fails on bright clips, as one does that runs out of memory on some."""

    brightest = 0.0

    def forward(self, clips: Tensor) -> Tensor:
        if clips.mean((1, 2, 3, 4)).max() > self.brightest:
            raise RuntimeError("out of memory")
        return self.classifier(clips)


def test_what_fails_on_some_clips_is_measured_on_the_others(base: nn.Module, shown: tuple[Tensor, Tensor]) -> None:
    model = Falters(base).eval()
    model.brightest = shown[0].mean((1, 2, 3, 4)).median().item()
    verdict, case = judged(model, *shown, EPS)
    assert {"unanswered"} <= rules(verdict)
    assert 0 < int(case.right.sum()) < len(shown[0])
    assert "out of memory" in str(verdict.reasons[0])


class Refusing(Wrapped):
    """Fails on some questions, whatever the clips are."""

    def __init__(self, classifier: nn.Module, refuses: Callable[[Tensor], bool]) -> None:
        super().__init__(classifier)
        self.refuses = refuses

    def forward(self, clips: Tensor) -> Tensor:
        if self.refuses(clips):
            raise RuntimeError  # without a word
        return self.classifier(clips)


class Limited(Wrapped):
    """Has memory for a few clips only: for so many in a forward pass, and for so many in a backward pass."""

    forwards, backwards = 99, 99

    def forward(self, clips: Tensor) -> Tensor:
        if len(clips) > self.forwards:
            raise RuntimeError("CUDA error: out of memory")
        logits = self.classifier(clips)
        if logits.requires_grad and len(clips) > self.backwards:
            logits.register_hook(lack_of_memory)
        return logits


def lack_of_memory(gradient: Tensor) -> None:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory.")


@pytest.fixture(scope="module")
def unlimited(base: nn.Module, shown: tuple[Tensor, Tensor]) -> tuple[Verdict, WorstCase]:
    return judged(Limited(base).eval(), *shown, EPS)


@pytest.mark.parametrize(("forwards", "backwards"), [(3, 3), (99, 3), (1, 1)])
def test_a_lack_of_memory_changes_no_number(
    forwards: int,
    backwards: int,
    base: nn.Module,
    shown: tuple[Tensor, Tensor],
    unlimited: tuple[Verdict, WorstCase],
) -> None:
    model, measured = Limited(base).eval(), list[Measured]()
    model.forwards, model.backwards = forwards, backwards
    with batches_noted(measured):
        verdict, case = judged(model, *shown, EPS)
        assert not self_test(model, frames=2, size=8)
        assert seconds_a_gradient(Opened(model, Given(*shown))) > 0
    assert verdict.trust and unlimited[0].trust
    assert case.found_by == unlimited[1].found_by
    torch.testing.assert_close(case.distance, unlimited[1].distance, rtol=0, atol=1e-4 / 255)
    assert [(one.name, one.count) for one in measured] == [("smaller batches", 1)]
    assert "out of memory" in measured[0].told


@pytest.mark.parametrize(
    ("refuses", "expected"),
    [
        (lambda clips: len(clips) == 1, {"batch"}),
        (lambda clips: clips.requires_grad, {"no gradient"}),
    ],
    ids=["one clip alone", "gradients"],
)
def test_a_model_that_fails_when_asked_in_some_way_is_judged_in_the_others(
    refuses: Callable[[Tensor], bool], expected: set[str], base: nn.Module, shown: tuple[Tensor, Tensor]
) -> None:
    model = Refusing(base, refuses).eval()
    verdict, case = judged(model, *shown, EPS)
    assert expected <= rules(verdict)
    assert int(case.right.sum()) == len(shown[0])
    assert {finding.name for finding in self_test(model, frames=2, size=8)} <= {"fails", "dead gradient"}
    assert seconds_a_gradient(Opened(model, Given(*shown))) > 0


def test_labels_of_another_order_are_told(base: nn.Module, shown: tuple[Tensor, Tensor]) -> None:
    verdict, _ = judged(base, shown[0], (shown[1] + 1) % CLASSES, EPS)
    assert "class order" in rules(verdict)


def test_under_ten_sources_it_says_that_intervals_cannot_be_trusted(
    base: nn.Module, shown: tuple[Tensor, Tensor]
) -> None:
    verdict, _ = judged(base, shown[0][:9], shown[1][:9], EPS)
    assert verdict.trust and "lacking: 1" in verdict.notes[0]


def test_one_distance_a_clip_is_the_whole_curve(base: nn.Module, shown: tuple[Tensor, Tensor]) -> None:
    threats = [Threat(L2(), eps) for eps in (0.3, 0.6, 1.2)]
    first = clean_answers(base, *shown, QUICK)
    case, _ = start_case(base, *shown, threats, first, QUICK)
    for name in ("FMN", "APGD-DLR"):
        run_stage(case, name, QUICK, CLASSES, diagnostic=4)
    standing = [len(case.standing(threat.eps)) for threat in threats]  # type: ignore[arg-type]
    assert standing == sorted(standing, reverse=True) and standing[0] > standing[-1]
    for row, distance in enumerate(case.distance.tolist()):
        found, clip = case.adversarial[row : row + 1], shown[0][row : row + 1]
        if 0 < distance < torch.inf:
            assert (found.double() - clip.double()).norm().item() == pytest.approx(distance, abs=1e-12)
            assert base(found).argmax().item() != shown[1][row]
    assert case.broke["APGD-DLR"] and set(case.broke["APGD-DLR"]) <= set(range(4))


def test_a_shared_perturbation_has_no_worst_case_for_each_clip(base: nn.Module, shown: tuple[Tensor, Tensor]) -> None:
    first = clean_answers(base, *shown, QUICK)
    with pytest.raises(ValueError, match="shares one perturbation"):
        start_case(base, *shown, [Threat(Linf(), 8 / 255, Universal())], first, QUICK)


def test_the_worst_case_of_a_linear_model_is_what_its_distances_say() -> None:
    """Clips nearer to the boundary than ε fall to some attack, and no other does."""
    model, found, labels = linear_models.linear(4, clips=12)
    exact = linear_models.distance(model, found, labels, Linf())
    eps = float(exact.median()) * 1.0001
    far = (exact > eps * 1.05) | (exact < eps * 0.95)
    given = Given(found[far], labels[far])
    row = worst_case_row(model, given, Threat(Linf(), eps), QUICK)
    assert fault({**row, "model": "m", "seed": 0, "split": "test"}) is None
    assert row["survived"] == "".join("1" if one > eps else "0" for one in exact[far].tolist())
    assert 0 < row["correct"] < row["clips"] and row["search"] == WORST_CASE and row["no_gradient"] == 0


def test_the_worst_case_of_a_model_without_gradients_says_that_none_was_followed() -> None:
    model, found, labels = linear_models.linear(3, clips=4)

    class Detached(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            return model(clips).detach()

    row = worst_case_row(Detached(), Given(found, labels), Threat(Linf(), 1e-6), QUICK)
    assert row["correct"] == row["no_gradient"] == 4


def test_clips_without_a_gradient_are_counted_and_not_warned_of(
    base: nn.Module, shown: tuple[Tensor, Tensor], recwarn: pytest.WarningsRecorder
) -> None:
    class Rounded(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            found = base(clips)
            return found.detach().round() + 0 * found

    warnings.simplefilter("always")
    labels = Rounded()(shown[0]).argmax(1)
    first = clean_answers(Rounded(), shown[0], labels, QUICK)
    case, _ = start_case(Rounded(), shown[0], labels, [Threat(Linf(), 2 / 255)], first, QUICK)
    found = [one for name in ("FMN", "PGD", "signs") for one in run_stage(case, name, QUICK, CLASSES, 4)]
    assert any(one.name == "unavailable gradients" and one.count for one in found)
    assert not [str(one.message) for one in recwarn]
