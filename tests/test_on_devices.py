"""What a device may not change: attacks, evaluation and training steps give on a GPU what they give on a CPU."""

from __future__ import annotations

import copy
import warnings
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.devices import needs_cuda
from helpers.linear_models import convolutional
from torch import Tensor, nn

from vidrobust import AutoAttack
from vidrobust.attacks.gradients import input_gradient
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.evaluation.clips import accuracy, evaluate, pgd
from vidrobust.fast import graphs
from vidrobust.fast.inference import current_copy
from vidrobust.fast.memory import MemoryWarning
from vidrobust.fast.precision import full_float32, has_bf16
from vidrobust.fast.view import inference_view
from vidrobust.models.building import build
from vidrobust.notation import parse_policy
from vidrobust.threats import L1, L2, Linf, Threat
from vidrobust.training.config import FitConfig
from vidrobust.training.distributed import World
from vidrobust.training.methods.table import fitted
from vidrobust.training.trainer import new_training

METHODS = [
    "standard(smooth=0.1)+SWA(start=0.4)",
    "AT(ε=8,α=4,i=2,mix=0.5)+EMA(τ=0.9)",
    "TRADES(ε=8,α=4,i=1)+AWP",
    "MART(ε=8,α=4,i=1)",
    "Friendly(ε=8,α=4,i=2)",
    "Free(ε=8,m=2)",
    "N-FGSM(ε=8)",
    "MAX(AT(ε=8,α=4,i=1),AT(ε=255,α=128,i=1,norm=L2))",
    "MultiBN(AT(ε=8,α=4,i=1),AT(ε=64,α=32,i=1,support=Border(ratio=0.1)))",
    "APE(ε=8,α=4,i=1,width=4)",
    "GAT(ε=8,α=4,i=1,width=4)",
    "IBP(ε=1,κ=0.3)",
    "Noise(σ=30)",
    "Denoise(σ=30,width=4)",
]


class Few:
    """Clips of noise: what evaluation and the training loop ask of a split."""

    def __init__(self, count: int = 12) -> None:
        generator = torch.Generator().manual_seed(0)
        self.clips = torch.rand(count, 3, 8, 16, 16, generator=generator)
        self.labels = torch.arange(count) % 10
        self.classes, self.sources = tuple("abcdefghij"), tuple(map(str, range(count)))
        self.videos = self.sources

    def __len__(self) -> int:
        return len(self.labels)

    def centre(self, indices: Any) -> Tensor:
        return self.clips[torch.as_tensor(indices)]

    def place(self, index: int) -> tuple[tuple[int, int], tuple[int, int, int, int]]:
        return (0, 7), (0, 0, 16, 16)

    def augmented(self, indices: Tensor, generator: torch.Generator, part: Tensor | None = None) -> Tensor:
        return self.clips[indices if part is None else indices[part]]


def network(device: torch.device) -> nn.Module:
    """The study's, with running statistics that fit the clips."""
    model = build("r3d-small", 10, seed=0)
    with torch.no_grad():
        for _ in range(3):
            model(Few().clips)
    return model.eval().to(device)


@pytest.mark.parametrize("norm", [Linf(), L2(), L1()], ids=str)
def test_a_search_of_the_model_itself_ends_where_it_ends_on_a_cpu(device: torch.device, norm: Any) -> None:
    eps = {Linf: 8 / 255, L2: 1.0, L1: 20.0}[type(norm)]
    clips, labels = Few().clips, Few().labels
    attack = PGD(Threat(norm, eps), eps / 4, 3, keep="last", precision="exact")
    model = convolutional()
    clips = clips[:, :, :4, :8, :8].contiguous()
    labels = labels % 5
    wanted = attack(model, clips, labels)
    with full_float32(device):
        found = attack(copy.deepcopy(model).to(device), clips.to(device), labels.to(device))
    assert found.clips.device.type == device.type
    torch.testing.assert_close(found.loss.cpu(), wanted.loss, rtol=2e-3, atol=2e-3)
    assert ((found.clips.cpu() - wanted.clips).abs() < 1e-4).float().mean() > 0.97


def test_a_random_start_is_the_same_on_every_device(device: torch.device) -> None:
    clips = Few().clips
    for norm, eps in ((Linf(), 0.03), (L2(), 1.0), (L1(), 20.0)):
        found = [
            Threat(norm, eps).around(clips.to(where)).random(torch.Generator().manual_seed(3)).cpu()
            for where in ("cpu", device)
        ]
        torch.testing.assert_close(*found, rtol=0, atol=1e-6)


def test_the_fast_copy_answers_and_differentiates_as_the_model(device: torch.device) -> None:
    model = network(device)
    clips, labels = Few().clips.to(device), Few().labels.to(device)
    with undisturbed(model):
        assert current_copy(model, clips) is not None
        fast, exact = (inference_view(model, clips, precision) for precision in ("auto", "exact"))
        for _ in range(3):  # plain, captured, replayed
            losses, logits, gradient, _ = input_gradient(fast, clips, labels)
        with full_float32(device):
            wanted_losses, wanted_logits, wanted, _ = input_gradient(exact, clips, labels)
    share = 0.05 if has_bf16(device) else 1e-3
    assert (logits - wanted_logits).abs().max() <= share * wanted_logits.abs().max()
    assert (losses - wanted_losses).abs().max() <= share * wanted_losses.abs().max()
    assert nn.functional.cosine_similarity(gradient.flatten(), wanted.flatten(), dim=0) > 1 - 2 * share


def test_an_evaluation_of_the_model_itself_counts_the_same(device: torch.device) -> None:
    clips: Any = Few()
    with full_float32(device):
        rows = [
            [accuracy(model, clips), *evaluate(model, clips, [replace(pgd(4, 1, 3), precision="exact")])]
            for model in (network(torch.device("cpu")), network(device))
        ]
    for one, other in zip(*rows, strict=True):
        assert abs(one.get("correct", one.get("top1")) - other.get("correct", other.get("top1"))) <= 1


def test_autoattack_runs(device: torch.device) -> None:
    clips, labels = Few(4).clips.to(device), Few(4).labels.to(device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = AutoAttack(Threat(Linf(), 8 / 255), steps=3, queries=5)(network(device), clips, labels)
    assert ((found.clips - clips).abs() <= 8 / 255).all()


@pytest.mark.parametrize("text", METHODS)
def test_an_epoch_of_each_method_ends_with_finite_weights(text: str, device: torch.device) -> None:
    policy, clips = parse_policy(text), Few(8)
    model = fitted(build("r3d-small", 10, seed=0), policy).to(device)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    given: Any = clips
    running = new_training(model, given, policy, FitConfig(epochs=2, batch=4), 0, lambda eps, steps: eps / 2, World())
    for _ in range(2):
        row = running.epoch(lambda gradients: None, lambda: None)
    assert row["clips"] == 8 and 0 <= row["correct"] <= 8
    after = running.learner.model.state_dict()
    assert all(tensor.isfinite().all() for tensor in after.values())
    assert any(not torch.equal(tensor, after[name]) for name, tensor in before.items() if name in after)


def test_float32_training_is_that_of_a_cpu(device: torch.device) -> None:
    found = []
    for where in (torch.device("cpu"), device):
        model, clips = build("r3d-small", 10, seed=0).to(where), Few(8)
        given: Any = clips
        config = FitConfig(epochs=1, batch=4, precision="float32", optimiser="sgd", lr=0.01)
        with full_float32(where):
            running = new_training(
                model, given, parse_policy("AT(ε=8,α=4,i=1)"), config, 0, lambda eps, steps: 4.0, World()
            )
            found.append(running.epoch(lambda gradients: None, lambda: None))
    assert found[0]["loss"] == pytest.approx(found[1]["loss"], rel=0.02)


@needs_cuda
def test_a_small_network_runs_as_graphs() -> None:
    device = torch.device("cuda")
    model, clips, labels = network(device), Few().clips.to(device), Few().labels.to(device)
    attack = PGD(Threat(Linf(), 8 / 255), 2 / 255, 5, keep="last")
    captured = attack(model, clips, labels)
    copied = current_copy(model, clips)
    assert copied is not None and copied.graphs._captured
    before = graphs.BYTES
    try:
        graphs.BYTES = 0
        plain = attack(model, clips, labels)
    finally:
        graphs.BYTES = before
    torch.testing.assert_close(captured.loss, plain.loss, rtol=0.03, atol=0.03)
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.1)
    again = attack(model, clips, labels)
    assert not torch.allclose(again.loss, captured.loss, rtol=1e-3), "new weights are used"
    few = attack(model, clips[:5], labels[:5])
    torch.testing.assert_close(few.loss, again.loss[:5], rtol=0.05, atol=0.05)


@needs_cuda
def test_a_second_backward_pass_through_graphs_is_as_the_first() -> None:
    device = torch.device("cuda")
    model, clips = network(device), Few().clips.to(device)
    with undisturbed(model):
        view = inference_view(model, clips)
        for _ in range(2):  # the second is captured
            input_gradient(view, clips, Few().labels.to(device))
        copied = current_copy(model, clips)
        assert copied is not None and copied.graphs._captured
        point = clips.clone().requires_grad_(True)
        loss = view(point).square().sum()
        first, again = (torch.autograd.grad(loss, point, retain_graph=True)[0] for _ in range(2))
    torch.testing.assert_close(again, first, rtol=0.02, atol=1e-3 * first.abs().max().item())


@needs_cuda
def test_an_attack_within_too_little_memory_goes_on_in_parts() -> None:
    device = torch.device("cuda")
    model = build("r3d-small", 10, seed=0).to(device).eval()
    clips, labels = torch.rand(64, 3, 16, 64, 64, device=device), torch.arange(64, device=device) % 10
    attack = PGD(Threat(Linf(), 8 / 255), 2 / 255, 2, keep="last", precision="exact")
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    wanted = attack(model, clips, labels)
    peak = torch.cuda.max_memory_allocated() - before
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 0.4 * peak) / total)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", MemoryWarning)
            found = attack(model, clips, labels)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any(issubclass(word.category, MemoryWarning) for word in said)
    torch.testing.assert_close(found.loss, wanted.loss, rtol=1e-2, atol=1e-2)
