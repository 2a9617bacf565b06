"""Attacks from several threads: the results of one thread, and models that are left as they were."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from helpers.linear_models import convolutional
from torch import Tensor, nn

from vidrobust.attacks.apgd import APGD
from vidrobust.attacks.frame_saliency import FrameSaliency
from vidrobust.attacks.gradients import input_gradient
from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.square import Square
from vidrobust.attacks.undisturbed import undisturbed
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.fast.segments import storages
from vidrobust.fast.view import inference_view
from vidrobust.threats import Linf, Threat

THREAT = Threat(Linf(), 0.02)
CLIPS = torch.rand(4, 3, 4, 8, 8, generator=torch.Generator().manual_seed(2))
LABELS = convolutional()(CLIPS).argmax(1)
ATTACKS: dict[str, Any] = {
    "pgd": PGD(THREAT, 0.005, 4, random_start=True),
    "exact": PGD(THREAT, 0.005, 4, precision="exact"),
    "apgd": APGD(THREAT, 4),
    "square": Square(THREAT, 10),
    "saliency": FrameSaliency(PGD(THREAT, 0.005, 2), 1),
    "eot": EOT(PGD(THREAT, 0.005, 2), 3),
    "bpda": BPDA(PGD(THREAT, 0.005, 2), lambda clips: clips),
    "trajectory": lambda *given: list(PGD(THREAT, 0.005, 3).trajectory(*given))[-1],
}


class Slow(nn.Module):
    """A random model with batch statistics that lets other threads on between any two of its parts."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop = convolutional(), nn.Dropout(0.5)
        self.pause: Callable[[], None] = lambda: None
        self.noise = 0.01

    def forward(self, clips: Tensor) -> Tensor:
        self.pause()
        logits = self.body(clips)
        self.pause()
        return logits + self.noise * torch.randn_like(logits) * self.drop(logits) if self.noise else logits


def state(model: nn.Module) -> list[object]:
    weights = [(name, tensor.sum().item()) for name, tensor in model.state_dict().items()]
    flags = [weight.requires_grad for weight in model.parameters()]
    return [weights, flags, [part.training for part in model.modules()], torch.get_rng_state().sum().item()]


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_as_in_one_thread(name: str) -> None:
    model = Slow().train()
    model.body[5].bias.requires_grad_(False)
    attack, before = ATTACKS[name], state(model)
    attack(model, CLIPS, LABELS)  # the first call of all makes the copy and measures its memory
    torch.manual_seed(0)
    wanted = attack(model, CLIPS, LABELS)
    started = threading.Barrier(3)
    model.pause = partial(threading.Event().wait, 0.001)  # another thread's turn

    def work() -> Any:
        started.wait()
        return attack(model, CLIPS, LABELS)

    torch.manual_seed(0)
    drawn = torch.get_rng_state()
    with ThreadPoolExecutor(3) as pool:
        results = [future.result() for future in [pool.submit(work) for _ in range(3)]]
    assert torch.equal(torch.get_rng_state(), drawn)
    for found in results:
        assert torch.equal(found.clips, wanted.clips) and torch.equal(found.loss, wanted.loss)
    assert state(model)[:3] == before[:3]


def test_a_second_thread_waits() -> None:
    inside, entered = threading.Event(), []

    def second() -> None:
        inside.wait()
        with undisturbed(nn.Flatten()):
            entered.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with undisturbed(convolutional()), undisturbed(convolutional()):  # as what wraps a search does
        inside.set()
        thread.join(0.05)
        entered.append("first")
    thread.join()
    assert entered == ["first", "second"]


def test_another_model_does_not_turn_back_the_random_numbers_of_the_first() -> None:
    model, attack = Slow().eval(), ATTACKS["eot"]
    attack(model, CLIPS, LABELS)
    wanted = attack(model, CLIPS, LABELS)
    other, done = convolutional(), threading.Event()

    def meanwhile() -> None:
        while not done.is_set():
            ATTACKS["exact"](other, CLIPS[:1], LABELS[:1])

    thread = threading.Thread(target=meanwhile)
    thread.start()
    model.pause = partial(threading.Event().wait, 0.001)
    found = attack(model, CLIPS, LABELS)
    done.set()
    thread.join()
    assert torch.equal(found.clips, wanted.clips)


class Weighing(nn.Module):
    """A model without a copy, of linear layers, in which another thread looks at the weights of its body."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(768, 32), nn.Tanh(), nn.Linear(32, 3))
        self.seen: list[bool] = []

    def forward(self, clips: Tensor) -> Tensor:
        with ThreadPoolExecutor(1) as other:
            self.seen += other.submit(lambda: [weight.requires_grad for weight in self.parameters()]).result()
        return self.body(clips if clips.mean() > 0.1 else 1 - clips)


@pytest.mark.parametrize("name", ATTACKS)
def test_the_weights_of_a_model_need_gradients_for_other_threads(name: str) -> None:
    model = Weighing()
    ATTACKS[name](model, CLIPS, LABELS)
    assert model.seen and all(model.seen)


def test_weights_are_constant_for_the_attack() -> None:
    """Nothing is kept for their gradients, and the numbers are those of frozen weights."""
    model = Weighing()
    free = InputGradient.of(model)
    frozen = InputGradient.of(model.requires_grad_(False))
    assert free.kept == frozen.kept
    assert torch.equal(free.gradient, frozen.gradient)


@dataclass
class InputGradient:
    gradient: Tensor
    kept: int
    """Bytes that the forward pass handed over, weights apart."""

    @classmethod
    def of(cls, model: nn.Module) -> InputGradient:
        kept, weights = [], storages(model)

        def note(tensor: Tensor) -> Tensor:
            kept.append(0 if tensor.untyped_storage().data_ptr() in weights else tensor.nbytes)
            return tensor

        with undisturbed(model), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            gradient = input_gradient(inference_view(model, CLIPS), CLIPS, LABELS).gradient
        return cls(gradient, sum(kept))


def test_two_models_are_attacked_at_once() -> None:
    """Each waits for the other in the midst of its own forward pass."""
    models = [Slow().eval().requires_grad_(False) for _ in range(2)]
    for model in models:
        model.noise = 0.0
        ATTACKS["exact"](model, CLIPS, LABELS)  # seen to draw nothing
    met = threading.Barrier(2, timeout=280)
    for model in models:
        model.pause = lambda: met.wait() and None
    with ThreadPoolExecutor(2) as pool:
        found = [pool.submit(ATTACKS["exact"], model, CLIPS, LABELS) for model in models]
        assert all(len(each.result().clips) == len(CLIPS) for each in found)


def test_one_model_within_another_is_not() -> None:
    inner, inside, order = convolutional().train(), threading.Event(), list[str]()
    outer = nn.Sequential(inner)
    for model in (inner, outer):
        ATTACKS["pgd"](model, CLIPS, LABELS)

    def second() -> None:
        inside.wait()
        with undisturbed(inner):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with undisturbed(outer):
        inside.set()
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["first", "second"] and inner.training


def test_an_error_frees_the_model() -> None:
    model = convolutional()
    with pytest.raises(RuntimeError, match="stop"), undisturbed(model):
        raise RuntimeError("stop")
    thread = threading.Thread(target=lambda: ATTACKS["pgd"](model, CLIPS, LABELS))
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
