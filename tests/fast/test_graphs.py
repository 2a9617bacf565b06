"""The forward and backward pass as graphs: as a plain call, at any batch size, in any order."""

from __future__ import annotations

import pytest
import torch
from helpers.fake_graphs import FakeGraph, fake_cuda_graphs
from torch import Tensor, nn

from vidrobust.fast.graphs import Graphs, GraphWarning, RepeatedWork
from vidrobust.fast.inference import InferenceCopy
from vidrobust.models.resnet3d import ResNet3d, ResNet3dConfig


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> type[FakeGraph]:
    return fake_cuda_graphs(monkeypatch)


@pytest.fixture(scope="module")
def copied() -> tuple[nn.Module, InferenceCopy]:
    torch.manual_seed(0)
    model = ResNet3d(ResNet3dConfig(classes=5, widths=(8, 8, 16), stem_width=8)).eval()
    return model, InferenceCopy(model, bf16=False)


def clips(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, 4, 12, 12, generator=torch.Generator().manual_seed(seed))


def gradient(logits: Tensor, point: Tensor) -> Tensor:
    return torch.autograd.grad(logits.square().sum(), point)[0]


def asked(call: object, count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    point = clips(count, seed).requires_grad_(True)
    logits = call(point)
    return logits.detach(), gradient(logits, point)


def test_a_graph_is_made_at_the_second_call_and_serves_smaller_batches(
    fakes: type[FakeGraph], copied: tuple[nn.Module, InferenceCopy]
) -> None:
    _, call = copied
    graphs = Graphs()
    replayed = []
    for count, seed in ((6, 0), (6, 1), (5, 2), (6, 3), (3, 4), (3, 5)):
        before = fakes.replays
        got, wanted = asked(lambda point: graphs(call, point), count, seed), asked(call, count, seed)
        for one, other in zip(got, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        replayed.append(fakes.replays - before)
    assert replayed == [0, 4, 2, 2, 0, 4]  # making one replays both passes once, to check them


def test_two_forward_passes_before_one_backward_pass(
    fakes: type[FakeGraph], copied: tuple[nn.Module, InferenceCopy]
) -> None:
    _, call = copied
    graphs = Graphs()
    for count in (4, 4, 2, 2):
        asked(lambda point: graphs(call, point), count)
    one, two = clips(4, 1).requires_grad_(True), clips(2, 2).requires_grad_(True)
    first, second = graphs(call, one), graphs(call, two)
    for logits, point, (count, seed) in ((first, one, (4, 1)), (second, two, (2, 2))):
        torch.testing.assert_close(gradient(logits, point), asked(call, count, seed)[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("count", [6, 5])
def test_two_backward_passes_of_one_forward_pass(
    fakes: type[FakeGraph], copied: tuple[nn.Module, InferenceCopy], count: int
) -> None:
    """The first has written over the activations, so that the second runs the forward pass again."""
    _, call = copied
    graphs = Graphs()
    for _ in range(2):
        asked(lambda point: graphs(call, point), 6)
    point = clips(count, 1).requires_grad_(True)
    logits, before = graphs(call, point), fakes.replays
    plain = point.detach().clone().requires_grad_(True)
    wanted = call(plain)
    for row, replays in ((0, 1), (1, 2), (0, 2)):
        (one,) = torch.autograd.grad(logits[row].square().sum(), point, retain_graph=True)
        (other,) = torch.autograd.grad(wanted[row].square().sum(), plain, retain_graph=True)
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        assert fakes.replays - before == replays
        before = fakes.replays


def test_what_comes_out_is_the_callers(fakes: type[FakeGraph], copied: tuple[nn.Module, InferenceCopy]) -> None:
    _, call = copied
    graphs = Graphs()
    asked(lambda point: graphs(call, point), 2)
    found = asked(lambda point: graphs(call, point), 2, 1)
    kept = [tensor.clone() for tensor in found]
    asked(lambda point: graphs(call, point), 2, 2)
    assert all(torch.equal(one, other) for one, other in zip(found, kept, strict=True))


def test_new_weights_are_used_without_a_new_graph(
    fakes: type[FakeGraph], copied: tuple[nn.Module, InferenceCopy]
) -> None:
    torch.manual_seed(1)
    model = ResNet3d(ResNet3dConfig(classes=5, widths=(8, 8, 16), stem_width=8)).eval()
    call = InferenceCopy(model.to(torch.float32), bf16=True)  # whose weights are its own, as on a GPU
    graphs = Graphs()
    for _ in range(2):
        before = asked(lambda point: graphs(call, point), 2)[0]
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    call.refresh(model)
    count = fakes.replays
    after = asked(lambda point: graphs(call, point), 2)[0]
    assert fakes.replays == count + 2
    assert not torch.allclose(before, after, rtol=0.05)
    torch.testing.assert_close(after, asked(call, 2)[0], rtol=0.02, atol=0.02)


def test_a_second_derivative_is_taken_of_the_plain_call(fakes: type[FakeGraph]) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 4 * 12 * 12, 4), nn.Softplus()).requires_grad_(False)
    graphs = Graphs()
    for _ in range(2):
        asked(lambda point: graphs(net, point), 2)
    found = []
    for call in (net, lambda point: graphs(net, point)):
        point = clips(2).requires_grad_(True)
        (once,) = torch.autograd.grad(call(point).square().sum(), point, create_graph=True)
        found.append(torch.autograd.grad(once.square().sum(), point)[0])
    torch.testing.assert_close(*found)


class Noisy(nn.Module):
    def forward(self, point: Tensor) -> Tensor:
        return (point + torch.randn_like(point)).flatten(1)[:, :3]


class Drifting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, point: Tensor) -> Tensor:
        self.calls += 1
        return point.flatten(1)[:, :3] * self.calls


@pytest.mark.parametrize(("net", "why"), [(Noisy(), "random numbers"), (Drifting(), "came out differently")])
def test_what_cannot_be_captured_is_called_plainly_with_a_word(
    fakes: type[FakeGraph], net: nn.Module, why: str
) -> None:
    graphs = Graphs()
    graphs(net, clips(2))
    with pytest.warns(GraphWarning, match=why):
        graphs(net, clips(2))
    assert graphs(net, clips(2)).shape == (2, 3)
    assert graphs(net, clips(2, 1)).shape == (2, 3)


def test_a_batch_beyond_the_largest_size_is_called_plainly(fakes: type[FakeGraph]) -> None:
    net, graphs = nn.Flatten(), Graphs()
    for _ in range(3):
        assert len(graphs(net, torch.rand(300, 1, 1, 1, 1))) == 300
    assert fakes.replays == 0


def test_repeated_work_is_a_graph_from_its_third_time_on_and_a_new_one_elsewhere(fakes: type[FakeGraph]) -> None:
    source, target, calls = torch.zeros(3), torch.zeros(3), []

    def work() -> None:
        calls.append(1)
        target.copy_(source * 2)

    repeated, replays = RepeatedWork(work), []
    for number, place in enumerate((1, 1, 1, 1, 2, 2, 2)):
        source.fill_(number)
        before = fakes.replays
        repeated((place,))
        replays.append(fakes.replays - before)
        assert torch.equal(target, torch.full((3,), 2.0 * number))
    assert replays == [0, 0, 1, 1, 0, 0, 1]
    assert len(calls) == 2 + 1 + 2 + 1  # twice, and once while it is captured, at each place


def test_work_that_cannot_be_a_graph_goes_on_as_it_is(fakes: type[FakeGraph], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise RuntimeError("not permitted")

    monkeypatch.setattr(torch.cuda, "graph", refuses)
    done: list[int] = []
    repeated = RepeatedWork(lambda: done.append(1))
    repeated((1,))
    with pytest.warns(GraphWarning, match="not permitted"):
        repeated((1,))
    repeated((1,))
    assert len(done) == 3
