"""Models of every kind in training: it works, or the error says what to do, before anything is written."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import vidrobust as vr
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import InputError, RunError, VidrobustWarning
from vidrobust.notation import STANDARD, parse_policy
from vidrobust.training.config import FitConfig
from vidrobust.training.methods.table import fitted
from vidrobust.training.trainer import train

CONFIG = FitConfig(epochs=2, batch=10)
AVERAGED = parse_policy("AT(ε=8,α=8,i=1)+EMA(τ=0.9)")


def network(classes: int = 10, norm: type[nn.Module] = nn.BatchNorm3d, **how: Any) -> nn.Sequential:
    torch.manual_seed(0)
    rest = (nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, classes))
    return nn.Sequential(nn.Conv3d(3, 4, 3, 2, 1), norm(4, **how), *rest)


class Around(nn.Module):
    """A network whose logits something is done to."""

    def __init__(self, answer: Callable[[torch.Tensor, bool], Any] = lambda logits, training: logits) -> None:
        super().__init__()
        self.net, self.answer = network(), answer

    def forward(self, clips: torch.Tensor) -> Any:
        return self.answer(self.net(clips), self.training)


def causal(frames: int) -> torch.Tensor:
    return torch.full((frames, frames), -torch.inf).triu(1)


class Masked(Around):
    """Frames mixed causally, by a mask that is a buffer, a frozen parameter, or made as it is needed."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.scores = kind, nn.Parameter(torch.zeros(8, 8))
        if kind == "buffer":
            self.register_buffer("mask", causal(8))
        elif kind == "parameter":
            self.mask = nn.Parameter(causal(8), requires_grad=False)
        else:
            self.register_buffer("mask", torch.zeros(8, 8))

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        if self.kind == "made":
            self.mask = causal(8)
        return self.net(torch.einsum("st,bcthw->bcshw", (self.scores + self.mask).softmax(1), clips))


class Filtered(Around):
    """A trained complex weight, and an integer one that is a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.filter = nn.Parameter(torch.ones(16, 9, dtype=torch.complex64))
        self.places = nn.Parameter(torch.arange(8), requires_grad=False)

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.net(torch.fft.irfft2(torch.fft.rfft2(clips) * self.filter, s=clips.shape[-2:]))


class Tied(nn.Module):
    """Two layers that share a weight."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Sequential(nn.Conv3d(3, 10, 3, 2, 1), nn.AdaptiveAvgPool3d(1), nn.Flatten())
        self.body, self.head = nn.Linear(10, 10), nn.Linear(10, 10)
        self.head.weight = self.body.weight

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(self.stem(clips)).relu())


class StillNorm(Around):
    """BatchNorm stays in evaluation mode."""

    def train(self, mode: bool = True) -> StillNorm:
        super().train(mode)
        self.net[1].eval()
        return self


def normed(kind: str) -> nn.Module:
    model = network()
    if kind == "weight_norm":
        model[5] = nn.utils.parametrizations.weight_norm(model[5])
    if kind == "spectral_norm":
        model[0] = nn.utils.parametrizations.spectral_norm(model[0])
    if kind == "old weight_norm":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            model[5] = nn.utils.weight_norm(model[5])
    return model


def lazy() -> nn.Module:
    layers = (nn.LazyConv3d(4, 3, 2, 1), nn.LazyBatchNorm3d(), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten())
    return nn.Sequential(*layers, nn.LazyLinear(10))


def partly(*frozen: int) -> nn.Module:
    model = network()
    for index in frozen:
        model[index].requires_grad_(False)
    return model


def in_inference_mode() -> nn.Module:
    with torch.inference_mode():
        return network()


def scripted() -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(network())


WORKS: dict[str, Callable[[], nn.Module]] = {
    "a causal mask in a buffer": lambda: Masked("buffer"),
    "a causal mask in a frozen parameter": lambda: Masked("parameter"),
    "a causal mask made as it is needed": lambda: Masked("made"),
    "complex and integer weights": Filtered,
    "shared weights": Tied,
    "weight norm": lambda: normed("weight_norm"),
    "spectral norm": lambda: normed("spectral_norm"),
    "the old weight norm": lambda: normed("old weight_norm"),
    "lazy modules": lazy,
    "a frozen layer": lambda: partly(0),
    "frozen weights of BatchNorm": lambda: partly(1),
    "BatchNorm in evaluation mode": StillNorm,
    "BatchNorm without statistics": lambda: network(track_running_stats=False),
    "InstanceNorm with statistics": lambda: network(norm=nn.InstanceNorm3d, track_running_stats=True),
    "BatchNorm over clips alone": lambda: nn.Sequential(*network()[:5], nn.BatchNorm1d(4), nn.Linear(4, 10)),
    "TorchScript": scripted,
}

REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "no weights": (nn.Flatten, "no weights to train"),
    "all frozen": (lambda: network().requires_grad_(False), "every weight of the model is frozen"),
    "half precision": (lambda: network().half(), "0.weight is torch.float16.*model.float()"),
    "bfloat16": (lambda: network().bfloat16(), "0.weight is torch.bfloat16"),
    "double precision": (lambda: network().double(), "0.weight is torch.float64"),
    "one layer in half precision": (lambda: nn.Sequential(*network()[:5], network()[5].half()), "5.weight is"),
    "no values": (lambda: network().to("meta"), "shapes but no values"),
    "two devices": (lambda: nn.Sequential(*network()[:5], network()[5].to("meta")), "lie on cpu, meta"),
    "inference mode": (in_inference_mode, "torch.inference_mode"),
    "another input size": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 32 * 32, 10)), "3×8×16×16.*vr.adapt"),
    "fewer classes": (lambda: network(4), "labels go up to 9, but the model has 4 classes"),
    "a tuple in evaluation too": (lambda: Around(lambda logits, training: (logits, logits)), "a tuple.*vr.adapt"),
    "a score for each frame": (lambda: Around(lambda logits, training: logits[:, None]), r"gives \(1, 1, 10\)"),
    "probabilities": (lambda: Around(lambda logits, training: logits.softmax(1)), "before its softmax"),
    "detached logits": (lambda: Around(lambda logits, training: logits.detach()), "detach"),
    "another shape in training": (
        lambda: Around(lambda logits, training: logits[:, None] if training else logits),
        r"in training mode the model gives \(10, 1, 10\)",
    ),
}


@pytest.fixture
def clips(small_data: VideoClips) -> vr.data.clips.Clips:
    return small_data.train.subset(range(0, len(small_data.train), len(small_data.train) // 20)[:20])


@pytest.mark.parametrize("kind", WORKS)
@pytest.mark.filterwarnings("ignore:Casting complex values")  # of a fast copy in bfloat16
def test_it_trains_and_goes_on_after_a_kill(kind: str, clips: Any, tmp_path: Path) -> None:
    def killed(model: nn.Module, row: Any, earlier: Any) -> list[Any]:
        if row["epoch"] == 2:
            raise KeyboardInterrupt
        return []

    make, whole = WORKS[kind], WORKS[kind]()
    before = [] if kind == "lazy modules" else [weight.clone() for weight in whole.parameters()]
    flags = [weight.requires_grad for weight in whole.parameters()]
    rows = train(whole, clips, AVERAGED, CONFIG)
    assert len(rows) == 2
    assert [weight.requires_grad for weight in whole.parameters()] == flags
    for was, weight in zip(before, whole.parameters(), strict=False):
        assert weight.equal(was) != weight.requires_grad  # what is frozen stands still, all else moves
    assert not any(tensor.isnan().any() for tensor in whole.state_dict().values())
    with pytest.raises(KeyboardInterrupt):
        train(make(), clips, AVERAGED, CONFIG, checkpoints=tmp_path, after_epoch=killed)
    again = make()
    train(again, clips, AVERAGED, CONFIG, checkpoints=tmp_path)
    for name, tensor in whole.state_dict().items():
        assert again.state_dict()[name].equal(tensor), name


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_in_words_and_left_as_it_was(kind: str, clips: Any, tmp_path: Path) -> None:
    make, words = REFUSED[kind]
    model = make()
    flags = [weight.requires_grad for weight in model.parameters()]
    with pytest.raises(InputError, match=words):
        train(model, clips, STANDARD, CONFIG, checkpoints=tmp_path)
    assert [weight.requires_grad for weight in model.parameters()] == flags
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["half precision", "all frozen", "another input size"])
def test_nothing_is_written_for_a_model_that_cannot_be_trained(
    kind: str, small_data: VideoClips, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=REFUSED[kind][1]):
        vr.fit(REFUSED[kind][0](), small_data, epochs=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


class Scores(tuple):
    """What some libraries return: a tuple with names."""

    logits = property(lambda self: self[1])


@pytest.mark.parametrize(
    "several",
    [
        lambda logits: (logits, 2 * logits),
        lambda logits: [logits, 2 * logits],
        lambda logits: {"aux": 2 * logits, "logits": logits},
        lambda logits: Scores((2 * logits, logits)),
    ],
    ids=["tuple", "list", "dictionary", "named"],
)
@pytest.mark.parametrize("method", ["standard", "MultiBN(AT(ε=8,α=8,i=1),AT(ε=4,α=4,i=1))", "GAT(ε=8,α=8,i=1,width=4)"])
def test_of_several_outputs_in_training_the_logits_are_trained_on(method: str, several: Any, clips: Any) -> None:
    policy, config = parse_policy(method), FitConfig(epochs=1, batch=10)
    plain, aided = Around(), Around(lambda logits, training: several(logits) if training else logits)
    plain, aided = fitted(plain, policy), fitted(aided, policy)
    train(plain, clips, policy, config)
    with pytest.warns(VidrobustWarning, match="several outputs: its logits are trained on"):
        train(aided, clips, policy, config)
    for name, tensor in plain.state_dict().items():
        assert aided.state_dict()[name].equal(tensor), name


def test_weights_frozen_by_hand_stay_so(clips: Any) -> None:
    model = partly(0)
    train(model, clips, STANDARD, FitConfig(epochs=1, batch=10, freeze="5"))
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {"0.weight", "0.bias"}


@pytest.mark.parametrize("make", [lambda: network().requires_grad_(False), lazy], ids=["frozen", "lazy"])
def test_a_purifier_is_trained_before_a_classifier_of_any_kind(
    make: Callable[[], nn.Module], small_data: VideoClips
) -> None:
    small = VideoClips(small_data.folder, small_data.config, *(split.spread(20) for split in splits(small_data)))
    classifier = make()
    run = vr.fit(classifier, small, "APE(ε=8,α=8,i=1,width=4)", epochs=1, batch=10)
    assert [weight.requires_grad for weight in classifier.parameters()] == [make is lazy] * 6
    assert any(weight.requires_grad for weight in run.model.parameters())


def splits(data: VideoClips) -> tuple[Any, Any, Any]:
    return data.train, data.val, data.test


def test_a_shared_weight_counts_once_where_rates_differ_by_depth(clips: Any) -> None:
    train(Tied(), clips, STANDARD, FitConfig(epochs=1, batch=10, layer_decay=0.5, head_lr=2.0))


def test_freezing_all_but_what_is_frozen_already_is_refused(clips: Any) -> None:
    with pytest.raises(InputError, match="every weight that would be trained is frozen"):
        train(partly(5), clips, STANDARD, FitConfig(epochs=1, batch=10, freeze="5"))


@pytest.mark.parametrize("spoilt", ["running_mean", "running_var"])
def test_what_is_trained_must_stay_finite_after_the_last_step(spoilt: str, clips: Any, tmp_path: Path) -> None:
    """The loss of the only step is finite; what it leaves is not."""

    class Spoilt(nn.BatchNorm3d):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            found = super().forward(inputs)
            if self.training:
                getattr(self, spoilt).data.fill_(torch.nan)
            return found

    with pytest.raises(RunError, match="weights became NaN or infinite in epoch 1 of standard"):
        train(network(norm=Spoilt), clips, STANDARD, FitConfig(epochs=1, batch=20), checkpoints=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_weight_that_a_finite_step_makes_infinite_is_not_stored(clips: Any, tmp_path: Path) -> None:
    model = Around(lambda logits, training: logits + 0 * model.steep)
    model.steep = nn.Parameter(torch.tensor(1e35))
    steep = FitConfig(epochs=1, batch=20, lr=1000, optimiser="sgd", weight_decay=1000)
    with pytest.raises(RunError, match="weights became NaN or infinite in epoch 1 of standard"):
        train(model, clips, STANDARD, steep, checkpoints=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_micro_batch_of_one_clip_is_refused(clips: Any) -> None:
    with pytest.raises(InputError, match="micro-batches of one clip"):
        train(network(), clips.subset([0, 1]), STANDARD, FitConfig(epochs=1, batch=4, accumulate=2))


@pytest.mark.parametrize("modifier", ["EMA(τ=0.9)", "SWA(start=0)"])
def test_the_average_of_a_constant_is_the_constant(modifier: str, clips: Any) -> None:
    """Also of integers, whose mean would be rounded down, and of infinity, whose mean would be NaN."""
    model = Masked("buffer")
    model.register_buffer("places", torch.arange(100))
    train(model, clips, parse_policy(f"AT(ε=8,α=8,i=1)+{modifier}"), CONFIG)
    assert model.mask.equal(causal(8))
    assert model.places.equal(torch.arange(100))
