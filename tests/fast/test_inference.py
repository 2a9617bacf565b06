"""The fast copy answers as the model does, micro-batches change nothing, and what cannot be copied is used as it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.gradients import input_gradient
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.fast import inference
from vidrobust.fast import view as viewing
from vidrobust.fast.inference import InferenceCopy
from vidrobust.fast.precision import Precision
from vidrobust.fast.stem import UnshuffledStem, has_rewritable_stem
from vidrobust.fast.view import inference_view
from vidrobust.models.building import build
from vidrobust.threats import Linf, Threat

ATTACK = PGD(Threat(Linf(), 8 / 255), 2 / 255, 3, keep="last")


def trained_like(seed: int = 0) -> nn.Module:
    """A small model whose running statistics fit its clips."""
    model = build("r3d-small", classes=5, seed=seed)
    with torch.no_grad():
        model.train()(clips(8))
    return model.eval()


def clips(count: int) -> Tensor:
    return torch.rand(count, 3, 8, 16, 16, generator=torch.Generator().manual_seed(1))


def test_the_copy_is_the_model_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "has_bf16", lambda device: False)
    model, x, labels = trained_like(), clips(4), torch.arange(4)
    with undisturbed(model):
        view = inference_view(model, x)
        assert isinstance(view._call, InferenceCopy)
        fast, exact = input_gradient(view, x, labels), input_gradient(model, x, labels)
    for ours, theirs in zip(fast[:3], exact[:3], strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5 * theirs.abs().max().item() + 1e-6)


def test_exact_is_the_model_itself() -> None:
    model, x = trained_like(), clips(4)
    assert inference_view(model, x, "exact")._call is model


class Branching(nn.Module):
    """A model that torch.fx cannot trace."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = trained_like()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) if x.mean() > 0.1 else self.inner(1 - x)


class Stateful(nn.Module):
    """A model whose trace is not what it does: the second half of its clips comes first."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = trained_like(), 1.0

    def forward(self, x: Tensor) -> Tensor:
        self.scale = -self.scale
        return self.scale * 5 * self.inner(x)


class Faint(Stateful):
    """The same, of logits so small that any two of them are near."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 1e-6


class Raised(Stateful):
    """The same, of logits that have much in common."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1e4


@pytest.mark.parametrize("make", [Branching, Stateful, Faint, Raised])
def test_models_without_a_faithful_copy_are_used_as_they_are(make: type[nn.Module]) -> None:
    model = make().eval()
    with undisturbed(model):
        assert inference_view(model, clips(2))._call is model


class StraightThrough(nn.Module):
    """Quantises its clips, and passes gradients through where there are any."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = trained_like()

    def forward(self, x: Tensor) -> Tensor:
        rounded = (x * 8).round() / 8
        return self.inner(x + (rounded - x).detach() if torch.is_grad_enabled() else rounded)


def test_a_copy_has_the_gradient_of_a_model_that_asks_whether_there_are_any(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "has_bf16", lambda device: False)
    model, x, labels = StraightThrough().eval(), clips(2), torch.arange(2)
    with undisturbed(model):
        view = inference_view(model, x)
        assert view.copied
        ours, exact = input_gradient(view, x, labels).gradient, input_gradient(model, x, labels).gradient
    assert torch.allclose(ours, exact, atol=1e-4 * exact.abs().max().item())
    assert exact.abs().max() > 0


def test_a_model_without_weights_has_a_copy_and_needs_no_graph() -> None:
    class Brightness(nn.Module):
        def forward(self, clips: Tensor) -> Tensor:
            mean = clips.mean((1, 2, 3, 4))
            return torch.stack([3 * mean, mean - 2], 1)

    model = Brightness()
    assert inference_view(model, clips(2)).copied
    torch.testing.assert_close(inference_view(model, clips(2))(clips(2)), model(clips(2)))


def test_hooks_are_not_lost() -> None:
    model, x, labels = trained_like(), clips(2), torch.arange(2)
    ATTACK(model, x, labels)  # there is a copy now
    calls = []
    handle = model.layer1.register_forward_hook(lambda *_: calls.append(1))
    ATTACK(model, x, labels)
    handle.remove()
    assert len(calls) >= 3


def test_hooks_on_gradients_are_not_lost() -> None:
    model, calls = trained_like(), []
    ATTACK(model, clips(2), torch.arange(2))
    model.get_submodule("layer1").register_full_backward_hook(lambda *seen: calls.append(seen))
    ATTACK(model, clips(2), torch.arange(2))
    assert len(calls) == ATTACK.steps


class Scaled(nn.Module):
    """A model with a plain number in its forward pass, which a graph holds as a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.scale = trained_like(), 1.0

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.scale


def test_a_number_that_changes_makes_the_copy_anew() -> None:
    model, x = Scaled().eval(), clips(2)
    with undisturbed(model), torch.no_grad():
        assert torch.allclose(inference_view(model, x)(x), model(x), atol=1e-2)
        model.scale = -3.0
        assert torch.allclose(inference_view(model, x)(x), model(x), atol=3e-2)
        first = inference_view(model, x)._call
        assert inference_view(model, x)._call is first  # and only then


@pytest.mark.parametrize(("batch", "wanted"), [(1, [1] * 7), (2, [3, 2, 2]), (3, [3, 2, 2]), (5, [4, 3]), (7, [7])])
def test_micro_batches_change_nothing(batch: int, wanted: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    model, x, labels = trained_like(), clips(7), torch.arange(7) % 5
    whole = ATTACK(model, x, labels)
    with undisturbed(model):
        view = inference_view(model, x)
        each = view._saved(x[:2], set()) - view._saved(x[:1], set())
    for name in ("SAVED", "SAVED_BY_COPY"):
        monkeypatch.setattr(viewing, name, int(each * (batch + 0.5)))
    monkeypatch.setattr(viewing, "_rooms", {})
    sizes, original = [], InferenceCopy.__call__

    def counted(self: InferenceCopy, part: Tensor) -> Tensor:
        sizes.append(len(part))
        return original(self, part)

    monkeypatch.setattr(InferenceCopy, "__call__", counted)
    parts = ATTACK(model, x, labels)
    assert sizes[: 2 + len(wanted)] == [2, 1, *wanted]  # memory is measured first, with one clip and with two
    assert (whole.clips != parts.clips).float().mean() < 1e-3  # sums in another order turn few signs
    assert torch.equal(whole.predicted, parts.predicted)


@pytest.mark.parametrize(("few", "precision", "parts"), [(3, "exact", 3), (2, "exact", 7), (3, "auto", 7)])
def test_clips_that_are_slow_one_by_one_go_in_pairs_where_three_fit(
    few: int, precision: Precision, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = trained_like(), clips(7)
    with undisturbed(model):
        view = inference_view(model, x, precision)
    each = view._saved_by_one(x)
    assert each is not None
    for name in ("SAVED", "SAVED_BY_COPY"):
        monkeypatch.setattr(viewing, name, int(each * 0.9))
    monkeypatch.setattr(viewing, "SAVED_BY_FEW", each * few)
    monkeypatch.setattr(viewing, "_rooms", {})
    assert view.parts(x) == parts


def test_a_float32_copy_has_no_weights_of_its_own_but_of_the_stem_and_the_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(inference, "has_bf16", lambda _: False)
    model = trained_like()
    copied = inference_view(model, clips(2))._call
    assert isinstance(copied, InferenceCopy)
    shared = {tensor.data_ptr() for tensor in model.parameters()}
    own = [tensor.numel() for tensor in copied.graph.parameters() if tensor.data_ptr() not in shared]
    small = [p.numel() for name, p in model.named_parameters() if name.startswith(("conv1", "bn", "fc")) or p.ndim < 5]
    assert sum(own) <= sum(small)


def test_a_copy_in_bfloat16_shares_no_weights_with_the_model() -> None:
    model = trained_like()
    copied = InferenceCopy(model, bf16=True)
    own = {tensor.data_ptr() for tensor in (*copied.graph.parameters(), *copied.graph.buffers())}
    assert not own & {tensor.data_ptr() for tensor in (*model.parameters(), *model.buffers())}


def test_a_copy_follows_weights_that_lie_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "has_bf16", lambda _: False)
    model, x = trained_like(), clips(2)
    with undisturbed(model), torch.no_grad():
        first = inference_view(model, x)._call
        for tensor in model.parameters():
            tensor.data = tensor.data * 1.3
        view = inference_view(model, x)
        assert view._call is first
        assert torch.allclose(view(x), model(x), atol=1e-4)


@pytest.mark.parametrize("kernel", [(3, 7, 7), (3, 5, 5), (1, 3, 3), (3, 7, 5), (3, 3, 7)])
def test_the_rewritten_stem_is_the_convolution_and_its_gradient(kernel: tuple[int, int, int]) -> None:
    padding = tuple(size // 2 for size in kernel)
    conv = nn.Conv3d(3, 4, kernel, (1, 2, 2), padding, dtype=torch.float64)  # type: ignore[arg-type]
    assert has_rewritable_stem(conv)
    stem, x = UnshuffledStem(conv), torch.rand(2, 3, 4, 12, 10, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(conv(x).shape, dtype=torch.float64)
    found, wanted = (torch.autograd.grad((f(x) * weights).sum(), x)[0] for f in (stem, conv))
    assert torch.allclose(stem(x), conv(x))
    assert torch.allclose(found, wanted)
    odd = torch.rand(1, 3, 4, 11, 10, dtype=torch.float64)
    assert torch.equal(stem(odd), conv(odd))
