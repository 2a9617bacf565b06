"""Long clips in chunks of time: the logits and gradients of the whole, with little held at once."""

from __future__ import annotations

import weakref

import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.wrappers import BPDA, EOT
from vidrobust.evaluation.defences import Defended, RandomCrop
from vidrobust.evaluation.videos import VideoClassifier
from vidrobust.fast import chunks, pieces
from vidrobust.fast.chunks import ask, in_chunks
from vidrobust.fast.view import inference_view
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.models.shapes import ResNet3dConfig
from vidrobust.threats import Linf, Threat


@pytest.fixture(autouse=True)
def _small_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "LONG", 4 * 3 * 40 * 8 * 8)
    monkeypatch.setattr(chunks, "HELD", 2**17)
    monkeypatch.setattr(chunks, "_made", weakref.WeakKeyDictionary())


def network(**changed: object) -> ResNet3d:
    strides = {"strides": ((1, 1, 1), (2, 2, 2)), "stem_kernel": (5, 7, 7), "stem_stride": (1, 2, 2)}
    return ResNet3d(
        ResNet3dConfig(classes=5, widths=(4, 8), layers=(1, 1), stem_width=4, **{**strides, **changed})
    ).eval()  # type: ignore[arg-type]


def gradient_of(call, clips: Tensor) -> tuple[Tensor, Tensor]:
    clips = clips.detach().requires_grad_(True)
    logits = call(clips)
    return logits.detach(), torch.autograd.grad(logits.logsumexp(1).sum(), clips)[0]


@pytest.mark.parametrize("frames", [81, 97, 128, 131, 200])
@pytest.mark.parametrize("pool", [False, True], ids=["plain", "pooled"])
def test_gradients_in_exact_numbers_are_those_of_the_whole_clip(frames: int, pool: bool) -> None:
    model, clips = network(pool=pool).double(), torch.rand(2, 3, frames, 8, 8, dtype=torch.float64)
    chunked = in_chunks(model, clips)
    assert chunked is not None
    for whole, part in zip(gradient_of(model, clips), gradient_of(chunked, clips), strict=True):
        assert (whole - part).abs().max() <= 1e-13 * whole.abs().max()


@pytest.mark.parametrize("precision", ["auto", "exact"])
def test_a_view_takes_long_clips_in_chunks(precision, monkeypatch: pytest.MonkeyPatch) -> None:
    model, clips = network(), torch.rand(1, 3, 160, 8, 8)
    seen: list[int] = []
    whole = chunks.Chunked._features
    monkeypatch.setattr(chunks.Chunked, "_features", lambda self, x: (seen.append(x.shape[2]), whole(self, x))[1])
    in_parts = gradient_of(inference_view(model, clips, precision), clips)
    assert len(seen) > 4
    assert max(seen[-4:]) < 160
    monkeypatch.setattr(pieces, "LONG", 2**40)
    for one, other in zip(in_parts, gradient_of(inference_view(model, clips, precision), clips), strict=True):
        assert torch.nn.functional.cosine_similarity(one.flatten(), other.flatten(), dim=0) > 0.999


def test_what_fits_or_cannot_be_cut_runs_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    clips = torch.rand(1, 3, 160, 8, 8)
    attending = nn.Sequential(nn.Conv3d(3, 4, 3), nn.GroupNorm(2, 4), nn.AdaptiveAvgPool3d(1), nn.Flatten()).eval()
    assert in_chunks(attending, clips) is None
    assert torch.equal(ask(attending, clips), attending(clips))
    assert in_chunks(network().train(), clips) is None
    hooked = network()
    hooked.layer1.register_forward_hook(lambda *_: None)
    assert in_chunks(hooked, clips) is None
    assert in_chunks(network(), clips[:, :, :39]) is None
    monkeypatch.setattr(chunks, "HELD", 2**30)
    assert in_chunks(network(), clips) is None


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_graph_that_does_not_answer_as_its_model_is_refused(scale: float, monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = chunks.averaged_features
    monkeypatch.setattr(
        chunks, "averaged_features", lambda graph: (shifted(graph)[0], shifted(graph)[1]._replace(before=0))
    )
    model = network()
    with torch.no_grad():
        for parameter in model.fc.parameters():
            parameter.mul_(scale)
    assert in_chunks(model, torch.rand(1, 3, 160, 8, 8)) is None


def test_chunks_follow_a_model_that_changes() -> None:
    model, clips = network(), torch.rand(1, 3, 160, 8, 8)
    before = ask(model, clips)
    with torch.no_grad():
        model.fc.bias.add_(1)
    assert torch.allclose(ask(model, clips), before + 1, atol=1e-5)
    model.fc = nn.Linear(8, 3).eval()
    assert ask(model, clips).shape == (1, 3)


class Jittered(nn.Module):
    """A model that draws in front of what is convolutional in time."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, clips: Tensor) -> Tensor:
        return ask(self.model, clips + 0.1 * torch.randn_like(clips))


@pytest.mark.parametrize("name", ["eot", "crop", "bpda", "views"])
def test_attacks_on_wrapped_models_are_the_same_in_chunks(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pgd = PGD(Threat(Linf(), 4 / 255), 1 / 255, 3, keep="last", precision="exact")
    model, clips, labels = network(), torch.rand(1, 3, 96, 8, 8), torch.tensor([0])
    attack, subject = {
        "eot": (EOT(pgd, 3), Jittered(model).eval()),
        "crop": (EOT(pgd, 3), Defended(model, RandomCrop(0.8)).eval()),
        "bpda": (BPDA(pgd, lambda seen: (seen * 16).round() / 16), model),
        "views": (pgd, VideoClassifier(model, 3).eval()),
    }[name]
    found = [attack(subject, clips, labels)]
    monkeypatch.setattr(pieces, "LONG", 2**40)
    found.append(attack(subject, clips, labels))
    assert torch.allclose(found[0].loss, found[1].loss, atol=1e-4)
    assert ((found[0].clips - found[1].clips).abs() < 1e-6).float().mean() > 0.99
    assert not torch.equal(found[0].clips, clips)


def test_the_first_check_of_a_copy_takes_a_long_clip_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, clips = network(), torch.rand(1, 3, 200, 8, 8)
    seen: list[int] = []
    convolve = nn.Conv3d._conv_forward
    monkeypatch.setattr(
        nn.Conv3d, "_conv_forward", lambda self, x, *more: (seen.append(x.shape[2]), convolve(self, x, *more))[1]
    )
    assert inference_view(model, clips).copied
    assert 0 < max(seen) < 100
