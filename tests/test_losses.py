"""The losses an attack maximises."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from vidrobust.errors import InputError
from vidrobust.losses import cross_entropy, dlr, margin, targeted_dlr, targeted_margin


def drawn(seed: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(20, classes, generator=generator) * 5
    return logits, torch.randint(classes, (20,), generator=generator)


@pytest.mark.parametrize("loss", [margin, dlr])
@given(seed=st.integers(0, 10_000), classes=st.integers(3, 9))
def test_above_zero_exactly_where_misclassified(loss: Callable[..., Tensor], seed: int, classes: int) -> None:
    logits, labels = drawn(seed, classes)
    assert torch.equal(loss(logits, labels) > 0, logits.argmax(1) != labels)


@pytest.mark.parametrize("loss", [margin, cross_entropy])
@given(seed=st.integers(0, 10_000))
def test_a_shift_of_the_logits_changes_nothing(loss: Callable[..., Tensor], seed: int) -> None:
    logits, labels = drawn(seed, 4)
    torch.testing.assert_close(loss(logits + 3, labels), loss(logits, labels), rtol=1e-4, atol=1e-4)


@given(seed=st.integers(0, 10_000), scale=st.floats(1e-2, 1e3), shift=st.floats(-10, 10))
def test_dlr_knows_neither_shift_nor_scale(seed: int, scale: float, shift: float) -> None:
    logits, labels = (part.double() if part.is_floating_point() else part for part in drawn(seed, 5))
    targets = (labels + 1) % 5
    torch.testing.assert_close(dlr(logits * scale + shift, labels), dlr(logits, labels))
    torch.testing.assert_close(
        targeted_dlr(logits * scale + shift, labels, targets), targeted_dlr(logits, labels, targets)
    )


def test_values_by_hand() -> None:
    logits, label, target = torch.tensor([[5.0, 1.0, 3.0, 2.0]]), torch.tensor([0]), torch.tensor([1])
    assert margin(logits, label).item() == -2
    assert dlr(logits, label).item() == pytest.approx(-2 / 3)
    assert targeted_margin(logits, label, target).item() == -4
    assert targeted_dlr(logits, label, target).item() == pytest.approx(-4 / (5 - 1.5))


def test_equal_logits_give_no_nan() -> None:
    logits = torch.zeros(2, 4, requires_grad=True)
    found = dlr(logits, torch.tensor([0, 1])) + targeted_dlr(logits, torch.tensor([0, 1]), torch.tensor([2, 2]))
    found.sum().backward()
    assert found.tolist() == [0, 0] and logits.grad is not None and logits.grad.isfinite().all()


@pytest.mark.parametrize(("loss", "classes"), [(margin, 1), (dlr, 2), (targeted_dlr, 3)])
def test_too_few_classes_are_refused(loss: Callable[..., Tensor], classes: int) -> None:
    labels = torch.zeros(1, dtype=torch.int64)
    extras = (labels,) if loss is targeted_dlr else ()
    with pytest.raises(InputError, match=f"at least {classes + 1} classes"):
        loss(torch.zeros(1, classes), labels, *extras)
