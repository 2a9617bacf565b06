"""A purifier of many steps: the exact gradient in the memory of one step, with fixed and with random draws."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import Tensor, nn

from vidrobust.attacks.pgd import PGD
from vidrobust.attacks.wrappers import EOT
from vidrobust.errors import InputError
from vidrobust.models.diffusion import DiffusionPurifier
from vidrobust.models.purifier import Purified
from vidrobust.threats import Linf, Threat


class Denoiser(nn.Module):
    """Guesses noise from its surroundings and from how much there is."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.into, self.out = nn.Conv3d(3, width, 1), nn.Conv3d(width, 3, 1)
        self.around = nn.Conv3d(width, width, 3, padding=1, groups=width)

    def forward(self, noisy: Tensor, signal: float) -> Tensor:
        return self.out(self.around(self.into(noisy).tanh()).tanh()) * (1 - signal)


def plain(purifier: DiffusionPurifier, clips: Tensor, noise: Tensor) -> Tensor:
    """The steps as a loop over equation 12, from the noise that was drawn."""
    shares = [purifier.signal + (1 - purifier.signal) * step / purifier.steps for step in range(purifier.steps + 1)]
    x = shares[0] ** 0.5 * (clips * 2 - 1) + (1 - shares[0]) ** 0.5 * noise
    for now, then in zip(shares[:-1], shares[1:], strict=True):
        predicted = purifier.denoiser(x, now)
        x = then**0.5 * (x - (1 - now) ** 0.5 * predicted) / now**0.5 + (1 - then) ** 0.5 * predicted
    return (x / 2 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("seed", [0, None])
def test_value_and_gradient_are_those_of_the_plain_loop(seed: int | None) -> None:
    clips = torch.rand(2, 3, 4, 6, 6, dtype=torch.float64)
    purifier = DiffusionPurifier(Denoiser().double(), 0.8, 10, seed)
    if seed is None:
        torch.manual_seed(7)
        noise = torch.randn_like(clips)
        torch.manual_seed(7)
    else:
        drawn = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(seed))
        noise = drawn.double().expand_as(clips)
    found = []
    for call in (purifier, lambda x: plain(purifier, x, noise)):
        leaf = clips.clone().requires_grad_(True)
        value = call(leaf)
        found.append((value.detach(), torch.autograd.grad((value * clips.cos()).sum(), leaf)[0]))
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-14)
    assert found[0][1].abs().max() > 0


def test_an_exact_attack_on_random_draws() -> None:
    head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 2 * 4 * 4, 3))
    model = Purified(DiffusionPurifier(Denoiser(), 0.7, 10, None), head)  # type: ignore[arg-type]
    clips, labels = torch.rand(2, 3, 2, 4, 4), torch.tensor([0, 1])
    attack = EOT(PGD(Threat(Linf(), 0.1), 0.03, 5, keep="last"), samples=4)
    first, again = attack(model, clips, labels), attack(model, clips, labels)
    assert torch.equal(first.clips, again.clips)
    assert first.backwards.tolist() == [20, 20]
    assert not first.no_gradient.any()
    with torch.no_grad():
        gains = [nn.functional.cross_entropy(model(x), labels) for x in (clips, first.clips) for _ in range(8)]
    assert sum(gains[8:]) > sum(gains[:8])


@pytest.mark.parametrize("wrong", [{"signal": 1.0}, {"signal": 0.0}, {"steps": 0}], ids=str)
def test_what_is_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        DiffusionPurifier(Denoiser(), **wrong)  # type: ignore[arg-type]


SCRIPT = """
import re, resource, sys
import torch
from torch import nn
from test_diffusion import Denoiser, plain
from vidrobust.attacks.pgd import PGD
from vidrobust.models.diffusion import DiffusionPurifier
from vidrobust.models.purifier import Purified
from vidrobust.threats import Linf, Threat

def resident(name):
    return 1024 * int(re.search(name + r":\\s+(\\d+)", open("/proc/self/status").read())[1])

resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[2]), resource.RLIM_INFINITY))
torch.set_num_threads(1)
purifier = DiffusionPurifier(Denoiser(64))
head = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(3, 4))
clips = torch.rand(1, 3, 16, int(sys.argv[3]), int(sys.argv[3]))
model = Purified(purifier, head) if sys.argv[1] == "steps" else lambda x: head(plain(purifier, x, torch.zeros(())))
attack = PGD(Threat(Linf(), 8 / 255), 2 / 255, 1, keep="last")
attack(model, clips, torch.tensor([0]))
print(resident("VmHWM"))
"""


def peak(how: str, size: int, limit: int) -> int:
    """The resident peak of a process of its own in which ten steps are attacked exactly; it may not take more data."""
    command = [sys.executable, "-c", SCRIPT, how, str(limit), str(size)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=__file__.rpartition("/")[0])
    return int(done.stdout.split()[-1])


@pytest.mark.long
def test_ten_steps_are_attacked_exactly_within_2_gib() -> None:
    """It was 0.69 GiB; a graph of all steps took 1.47."""
    assert peak("steps", 112, 2 * 2**30) < 1.1 * 2**30
