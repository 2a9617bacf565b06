"""Training methods: each yields the losses that its paper says, and goes on after a stop as if there had been none."""

from __future__ import annotations

import copy
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

import vidrobust as vr
from vidrobust.data.clips import Clips
from vidrobust.data.dataset import VideoClips
from vidrobust.errors import InputError, NotationError, RunError, StoppedError
from vidrobust.models.building import build
from vidrobust.models.multibn import MultiBN
from vidrobust.models.purifier import Purified
from vidrobust.models.resnet3d import ResNet3d
from vidrobust.notation import parse_policy
from vidrobust.notation.families import FAMILIES
from vidrobust.notation.policies import Policy
from vidrobust.notation.schedules import Clock
from vidrobust.threats import Threat
from vidrobust.training import crafting, trainer
from vidrobust.training.adaptive import held_out
from vidrobust.training.config import FitConfig
from vidrobust.training.crafting import friendly_clips, one_step_from_noise, random_start, threat_of
from vidrobust.training.distributed import World
from vidrobust.training.learner import Learner
from vidrobust.training.methods import adversarial, divergence
from vidrobust.training.methods.objectives import Batch
from vidrobust.training.methods.table import METHODS, fitted, method_of, name_of
from vidrobust.training.randomness import clip_seed
from vidrobust.training.rates import layer_groups
from vidrobust.training.trainer import begin, train

POLICIES = [
    "standard(smooth=0.1)+SWA(start=0.4)",
    "AT(ε=8,α=4,i=1,mix=0.5)+EMA(τ=0.9)",
    "AT(ε=255,α=128,i=1,norm=L2,support=Border(ratio=0.2))",
    "AAT(ε_max=12,α=ε/2,i=1)",
    "CAL(ε~U(0,12),α=α*,i=1,by=step)",
    "TRADES(ε=8,α=4,i=1)+AWP",
    "MART(ε=8,α=4,i=1)",
    "Friendly(ε=8,α=4,i=2)",
    "Free(ε=8,m=2)",
    "FGSM-RS(ε=8)",
    "N-FGSM(ε=8)",
    "MAX(AT(ε=8,α=4,i=1),AT(ε=255,α=128,i=1,norm=L2))",
    "AVG(AT(ε=8,α=4,i=1),FGSM-RS(ε=8))",
    "MultiBN(AT(ε=8,α=4,i=1),AT(ε=64,α=32,i=1,support=Border(ratio=0.1)))",
    "APE(ε=8,α=4,i=1,width=4)",
    "GAT(ε=8,α=4,i=1,width=4)",
]


def test_each_declared_method_has_a_class_and_each_class_a_policy_here() -> None:
    assert METHODS.keys() == FAMILIES.keys()
    assert {METHODS[parse_policy(text).family] for text in POLICIES} == set(METHODS.values())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_example_of_a_family_is_one_of_its_policies(name: str) -> None:
    policy = parse_policy(FAMILIES[name].example)
    assert policy.family == name
    assert parse_policy(str(policy)) == policy
    method = method_of(policy)
    assert type(method) is METHODS[name] and name_of(method) == str(policy)


@pytest.fixture(scope="module")
def few(small_data: VideoClips) -> Clips:
    return small_data.train.subset(range(0, 96, 3))  # 32 clips of several groups


def half(eps: float, steps: int) -> float:
    return eps / 2


def trained(text: str, clips: Clips, config: FitConfig, **how: Any) -> tuple[torch.nn.Module, list[dict[str, Any]]]:
    policy = parse_policy(text)
    model = fitted(build("r3d-small", 10), policy)
    rows = train(model, clips, policy, config, seed=3, alpha_star=half, **how)
    return model, rows


def weights(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([tensor.flatten().double() for tensor in model.state_dict().values()])


@pytest.mark.parametrize("text", POLICIES)
def test_stopped_within_an_epoch_each_method_ends_with_the_same_weights(text: str, few: Clips, tmp_path: Path) -> None:
    config, asked = FitConfig(epochs=2, batch=8), 0

    def third() -> bool:
        nonlocal asked
        asked += 1
        return asked == 3

    undisturbed, rows = trained(text, few, config)
    before = weights(fitted(build("r3d-small", 10), parse_policy(text)))
    assert not torch.equal(weights(undisturbed), before)
    with pytest.raises(StoppedError, match="after step"):
        trained(text, few, config, checkpoints=tmp_path, stopping=third)
    resumed, again = trained(text, few, config, checkpoints=tmp_path)
    assert torch.equal(weights(resumed), weights(undisturbed))
    assert again == rows


@pytest.mark.parametrize("text", ["AT(ε=8,α=2,i=2)+EMA(τ=0.9)", "AAT(ε_max=8,α=2,i=2)"])
def test_a_kill_while_the_model_is_looked_at_costs_no_epoch(
    text: str, few: Clips, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer, "LONG", -1.0)  # every look is a long one, also the first
    config = FitConfig(epochs=2, batch=8)
    steps: list[int] = []
    undisturbed, rows = trained(text, few, config, stopping=lambda: bool(steps.append(1)))
    of_both = len(steps)

    def killed(model: torch.nn.Module, row: Any, earlier: Any) -> list[Any]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(text, few, config, checkpoints=tmp_path, after_epoch=killed)
    resumed, again = trained(text, few, config, checkpoints=tmp_path, stopping=lambda: bool(steps.append(1)))
    assert torch.equal(weights(resumed), weights(undisturbed))
    assert again == rows
    assert len(steps) - of_both == of_both / 2  # those of the second epoch alone


@pytest.mark.parametrize("text", POLICIES[1:4])
def test_micro_batches_change_only_batch_norm(text: str, few: Clips) -> None:
    """Without BatchNorm the accumulated gradient is that of the whole batch."""
    policy = parse_policy(text)
    ends = []
    for accumulate in (1, 2):
        model = fitted(build("r3d-small", 10), policy)
        for name, part in list(model.named_modules()):
            if isinstance(part, torch.nn.BatchNorm3d):
                owner, _, leaf = name.rpartition(".")
                setattr(model.get_submodule(owner), leaf, torch.nn.Identity())
        config = FitConfig(epochs=1, batch=16, optimiser="sgd", lr=1e-3, accumulate=accumulate, precision="float32")
        rows = train(model, few, policy, config, alpha_star=half)
        ends.append((rows[0]["loss"], weights(model)))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-4)
    assert torch.allclose(ends[0][1], ends[1][1], atol=1e-4)


def batch_of(clips: Clips, count: int = 4) -> Batch:
    indices = range(count)
    return Batch(clips.centre(indices), clips.labels[:count], tuple(range(count)), Clock(0, 2), half)


def objective_of(text: str, model: torch.nn.Module, batch: Batch) -> Any:
    learner = Learner(model, precision="exact")
    method = method_of(parse_policy(text))
    method.prepare(learner)
    learner.train()
    return learner, method.objectives(learner, batch)


def test_trades_is_clean_loss_plus_beta_times_the_divergence(few: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, seen = build("r3d-small", 10), batch_of(few), []
    whole = divergence.both
    monkeypatch.setattr(divergence, "both", lambda *a: seen.append((a[2], out := whole(*a))) or out)
    _, objectives = objective_of("TRADES(ε=8,α=4,i=3,β=2)", model, batch)
    loss = next(objectives).outcome().loss
    attacked, (clean, adversarial) = seen[0]
    assert 0 < (attacked - batch.clips).abs().max() <= 8 / 255
    p, q = clean.softmax(1), adversarial.softmax(1)
    by_hand = F.cross_entropy(clean, batch.labels) + 2 * (p * (p.log() - q.log())).sum(1).mean()
    assert loss.item() == pytest.approx(by_hand.item(), rel=1e-5)


def test_trades_attacks_what_the_model_says_not_the_label(trained: ResNet3d, few: Clips) -> None:
    """Its clips diverge more from the clean answer than random ones."""
    model, batch = copy.deepcopy(trained), batch_of(few, 16)
    method = method_of(parse_policy("TRADES(ε=8,α=2,i=5)"))
    assert isinstance(method, divergence.Trades)
    setting = method.policy.at(batch.clock, half)
    attacked = method._attacked(Learner(model, precision="exact"), batch, setting)
    noisy = random_start(threat_of(method.policy, 8), batch.clips, batch.seeds)
    clean = model(batch.clips).softmax(1)
    apart = [F.kl_div(model(x).log_softmax(1), clean, reduction="batchmean").item() for x in (attacked, noisy)]
    assert apart[0] > 3 * apart[1]


def test_mart_weighs_the_divergence_by_doubt(few: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch, seen = build("r3d-small", 10), batch_of(few), []
    whole = divergence.both
    monkeypatch.setattr(divergence, "both", lambda *a: seen.append(out := whole(*a)) or out)
    _, objectives = objective_of("MART(ε=8,α=4,i=2,β=3)", model, batch)
    loss = next(objectives).outcome().loss
    clean, adversarial = (logits.softmax(1) for logits in seen[0])
    rows = torch.arange(4)
    wrong = adversarial.clone()
    wrong[rows, batch.labels] = 0
    boosted = -adversarial[rows, batch.labels].log() - (1.0001 - wrong.amax(1)).log()
    apart = (clean * (clean.log() - adversarial.log())).sum(1) * (1 - clean[rows, batch.labels])
    assert loss.item() == pytest.approx((boosted + 3 * apart).mean().item(), rel=1e-4)


def test_awp_raises_the_loss_and_puts_the_weights_back(few: Clips) -> None:
    model, batch = build("r3d-small", 10), batch_of(few, 8)
    before = {name: tensor.detach().clone() for name, tensor in (*model.named_parameters(), *model.named_buffers())}
    plain = next(objective_of("AT(ε=8,α=4,i=1)", copy.deepcopy(model), batch)[1]).outcome().loss
    _, objectives = objective_of("AT(ε=8,α=4,i=1)+AWP(γ=0.05)", model, batch)
    objective = next(objectives)
    moved = {name: tensor for name, tensor in model.named_parameters() if not torch.equal(tensor, before[name])}
    assert {name.rpartition(".")[2] for name in moved} == {"weight"}
    for name, tensor in moved.items():
        assert (tensor.detach() - before[name]).norm().item() == pytest.approx(
            0.05 * before[name].norm().item(), rel=1e-3
        )
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_buffers())
    assert objective.outcome().loss > plain + 0.01
    objective.settle()
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.named_parameters())


def test_free_uses_each_gradient_for_weights_and_clips(few: Clips) -> None:
    model, batch = build("r3d-small", 10), batch_of(few)
    learner, objectives = objective_of("Free(ε=8,m=3)", model, batch)
    sizes = []
    for objective in objectives:
        objective.outcome().loss.backward()
        sizes.append(sum(float(p.grad.abs().sum()) for p in model.parameters() if p.grad is not None))
    assert len(sizes) == 3 and len(set(sizes)) == 3  # the clips moved between the losses
    carried = learner.carried["free0"]
    assert 0 < carried.abs().max() <= 8 / 255 + 1e-6


def test_friendly_clips_stop_when_the_model_is_wrong(trained: ResNet3d, few: Clips) -> None:
    clips, labels = few.centre(range(32)), few.labels
    policy = parse_policy("Friendly(ε=12,α=2,i=20)")
    setting, threat = policy.at(Clock(0, 1), half), threat_of(policy, 12)
    near = friendly_clips(trained, clips, labels, setting, threat, 0, "exact")
    far = friendly_clips(trained, clips, labels, setting, threat, 20, "exact")
    wrong = (trained(near).argmax(1) != labels) & (trained(clips).argmax(1) == labels)
    assert wrong.any()
    losses = [F.cross_entropy(trained(x)[wrong], labels[wrong]).item() for x in (near, far)]
    assert losses[0] < losses[1]
    already = trained(clips).argmax(1) != labels
    assert torch.equal(near[already], clips[already])


def test_noise_and_random_starts_belong_to_the_clip_not_to_the_batch(few: Clips) -> None:
    clips = few.centre(range(6))
    policy = parse_policy("N-FGSM(ε=8,k=2)")
    threat, seeds = threat_of(policy, 16), [clip_seed(0, 1, index) for index in range(6)]
    whole = random_start(threat, clips, seeds)
    parts = torch.cat([random_start(threat, clips[:2], seeds[:2]), random_start(threat, clips[2:], seeds[2:])])
    assert torch.equal(whole, parts)
    model = build("r3d-small", 10).eval()
    batch = Batch(clips, few.labels[:6], tuple(seeds), Clock(0, 1), half)
    step = threat_of(policy, 8)
    moved = (one_step_from_noise(model, batch, policy.at(Clock(0, 1), half), threat, step, "exact") - clips).abs()
    assert 16 / 255 < moved.max() <= 24 / 255 + 1e-6  # beyond ε: the noise of 2ε stays, and a step of ε goes on top


def test_the_worst_threat_counts_in_max_and_all_in_avg(few: Clips) -> None:
    parts = "AT(ε=8,α=4,i=2),AT(ε=1,α=1,i=1)"
    model, batch = build("r3d-small", 10), batch_of(few, 8)
    worst, mean = (next(objective_of(f"{name}({parts})", model, batch)[1]).outcome() for name in ("MAX", "AVG"))
    assert worst.loss > mean.loss
    assert worst.logits is not None and worst.logits.shape == (8, 10)


def test_ape_leaves_the_classifier_as_it_is_and_gat_does_not(few: Clips) -> None:
    for name, same in (("APE", True), ("GAT", False)):
        policy = parse_policy(f"{name}(ε=8,α=4,i=1,width=4)")
        model = fitted(build("r3d-small", 10), policy)
        assert isinstance(model, Purified)
        before = [weights(model.classifier), weights(model.purifier)]
        train(model, few, policy, FitConfig(epochs=1, batch=8))
        assert torch.equal(weights(model.classifier), before[0]) == same
        assert not torch.equal(weights(model.purifier), before[1])
        assert all(parameter.requires_grad for parameter in model.parameters())


def test_the_generator_restores_and_fools_in_the_shares_given(few: Clips) -> None:
    batch = batch_of(few)
    losses = {}
    for fool in (0.0, 0.3, 1.0):  # the published share between the two extremes
        text = f"APE(ε=0,α=1,i=1,width=4,fool={fool})"
        model = fitted(build("r3d-small", 10), parse_policy(text))
        learner, objectives = objective_of(text, model, batch)
        next(objectives)  # the critic's
        losses[fool] = next(objectives).outcome().loss.item()
        made = learner.run(model.purifier, batch.clips)  # in training mode, as in the loss
        if fool == 0:
            assert losses[fool] == pytest.approx(F.mse_loss(made, batch.clips).item(), rel=1e-5)
        if fool == 1:
            verdicts = learner.run(learner.extras["critic"], made)
            assert losses[fool] == pytest.approx(F.softplus(-verdicts).mean().item(), rel=1e-5)
    assert losses[0.3] == pytest.approx(0.7 * losses[0.0] + 0.3 * losses[1.0], rel=1e-5)
    model = fitted(build("r3d-small", 10), parse_policy("APE(ε=8,α=4,i=1,width=4)"))
    for text, rate in (("APE(ε=8,α=4,i=1,width=4)", 2e-4), ("APE(ε=8,α=4,i=1,width=4,rate=0.01)", 0.01)):
        learner, _ = objective_of(text, model, batch)
        made = method_of(parse_policy(text)).optimisers(learner, FitConfig())
        assert [made[half].defaults["lr"] for half in ("generator", "critic")] == [rate, rate]


def test_what_a_method_needs_is_asked_for(few: Clips) -> None:
    for text, says in (("GAT(ε=8,α=4,i=1)", "purified"), ("MultiBN(AT(ε=8,α=4,i=1),AT(ε=4,α=4,i=1))", "branched")):
        with pytest.raises(InputError, match=says):
            train(build("r3d-small", 10), few, parse_policy(text), FitConfig(epochs=1, batch=8))


def test_a_model_made_for_another_policy_is_refused() -> None:
    narrow = fitted(build("r3d-small", 10), parse_policy("GAT(ε=8,α=4,i=1,width=4)"))
    assert fitted(narrow, parse_policy("GAT(ε=8,α=4,i=1)")) is narrow
    with pytest.raises(InputError, match=r"channels \(4, 8, 16\), not width=8"):
        fitted(narrow, parse_policy("GAT(ε=8,α=4,i=1,width=8)"))
    two = "MultiBN(AT(ε=8,α=4,i=1),AT(ε=4,α=4,i=1))"
    branches = fitted(build("r3d-small", 10), parse_policy(two))
    assert fitted(branches, parse_policy(two)) is branches
    with pytest.raises(InputError, match="3 BatchNorm branches, and this policy needs 4"):
        fitted(branches, parse_policy(two[:-1] + ",AT(ε=2,α=2,i=1))"))


def test_layer_wise_rates_see_the_classifier_behind_what_is_around_it() -> None:
    for text in ("GAT(ε=8,α=4,i=1,width=4)", "MultiBN(AT(ε=8,α=4,i=1),AT(ε=4,α=4,i=1))"):
        model = fitted(build("r3d-small", 10), parse_policy(text))
        scales = {p: group["scale"] for group in layer_groups(model, 0.5, 10.0) for p in group["params"]}
        assert scales.keys() == set(model.parameters())
        assert {name for name, p in model.named_parameters() if scales[p] == 10} == {
            "classifier.fc.weight",
            "classifier.fc.bias",
        }
        assert all(scales[p] == 1 for name, p in model.named_parameters() if not name.startswith("classifier."))


def test_branches_hold_statistics_of_their_own(few: Clips) -> None:
    model, _ = trained_branches(few)
    norm = model.classifier.bn1
    means = [branch.running_mean for branch in norm.norms]
    assert not torch.equal(means[0], means[1])
    model.eval()
    clips = few.centre([0, 1])
    weighed = model(clips)
    shares = model.detector(clips).softmax(1)
    assert torch.allclose(shares.sum(1), torch.ones(2))
    assert not torch.equal(weighed, model.use(0)(clips))
    clips.requires_grad_(True)
    model(clips).sum().backward()
    assert clips.grad is not None and clips.grad.abs().sum() > 0


def trained_branches(few: Clips) -> tuple[MultiBN, Policy]:
    policy = parse_policy("MultiBN(AT(ε=8,α=4,i=1),AT(ε=64,α=32,i=1,support=Border(ratio=0.1)))")
    model = fitted(build("r3d-small", 10), policy)
    assert isinstance(model, MultiBN)
    train(model, few, policy, FitConfig(epochs=1, batch=8))
    return model, policy


def test_adaptive_training_measures_on_groups_it_never_trains_on(few: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = parse_policy("AAT(ε_max=9,α=ε,i=1)")
    rest, held = held_out(few, policy, seed=0)
    assert held is not None
    assert set(rest.groups).isdisjoint(held.groups) and len(rest) + len(held) <= len(few)
    training = begin(build("r3d-small", 10), few, policy, FitConfig(epochs=3, batch=8), 0, half, World())
    training.epoch(lambda gradients: None, lambda: None)
    assert [eps for eps, _ in training.at.losses] == list(range(10))
    assert all(loss > 0 for _, loss in training.at.losses)
    draws = {training._clock(step).draw for step in range(3)}
    assert len(draws) == 3 and all(0 <= draw < 1 for draw in draws)


def test_a_step_schedule_moves_with_every_batch_and_an_epoch_schedule_does_not(
    few: Clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []
    true = adversarial.training_clips

    def spy(*given: Any) -> torch.Tensor:
        seen.append(given[3].eps)
        return true(*given)

    monkeypatch.setattr(adversarial, "training_clips", spy)
    for text in ("CAL(ε~U(0,7),α=ε,i=1,by=step)", "CAL(ε~U(0,7),α=ε,i=1)"):
        trained(text, few, FitConfig(epochs=2, batch=8))
    assert seen[:8] == [0, 1, 2, 3, 4, 5, 6, 7]
    assert seen[8:] == [0] * 4 + [7] * 4


def test_the_average_is_kept_and_the_optimiser_keeps_its_state(few: Clips) -> None:
    policy = parse_policy("standard+EMA(τ=0.5)")
    model = build("r3d-small", 10)
    training = begin(model, few, policy, FitConfig(epochs=2, batch=16), 0, half, World())
    by_hand = None
    for _ in range(2):
        training.epoch(lambda gradients: None, lambda: None)
        steps = [float(slots["step"]) for slots in training.optimisers["model"].state.values()]
    assert set(steps) == {4.0}  # two epochs of two steps: nothing was begun anew
    by_hand = training.average.weights()["fc.weight"]
    assert not torch.equal(by_hand, model.fc.weight)
    assert (by_hand - model.fc.weight).abs().max() < (build("r3d-small", 10).fc.weight - model.fc.weight).abs().max()


@pytest.mark.parametrize("accumulate", [1, 2])
def test_processes_share_each_micro_batch(accumulate: int) -> None:
    """Together they have every clip once, and each micro-batch holds the clips that it would on one process."""
    ranks = [World(rank, 2).rows(8, accumulate).tolist() for rank in range(2)]
    assert sorted(ranks[0] + ranks[1]) == list(range(8))
    each = 8 // accumulate // 2
    for part in range(accumulate):
        together = ranks[0][part * each : (part + 1) * each] + ranks[1][part * each : (part + 1) * each]
        assert together == list(range(part * 8 // accumulate, (part + 1) * 8 // accumulate))


def test_a_run_that_starts_elsewhere_is_another_run(few: Clips, tmp_path: Path) -> None:
    policy, config = parse_policy("standard"), FitConfig(epochs=1, batch=16)
    train(build("r3d-small", 10, seed=0), few, policy, config, checkpoints=tmp_path)
    with pytest.raises(RunError, match="another training"):
        train(build("r3d-small", 10, seed=1), few, policy, config, checkpoints=tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "APE(ε=8,α=4,i=1)+EMA",
        "AT(ε=128,α=auto,i=1,norm=L2)",
        "CAL(ε~paced(0,12),α=ε,i=1,by=step)",
        "AVG(AT(ε=8,α=4,i=1,mix=0.5),AT(ε=8,α=8,i=1))",
        "standard+SWA(start=1)",
    ],
)
def test_what_would_silently_do_nothing_or_something_else_is_refused(text: str) -> None:
    with pytest.raises(NotationError):
        parse_policy(text)


def test_the_threat_of_a_policy_is_parsed_once(few: Clips, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    true = crafting.threat_from_text

    def spy(eps: float, norm: str, support: str) -> Threat:
        parsed.append(support)
        return true(eps, norm, support)

    monkeypatch.setattr(crafting, "threat_from_text", spy)
    trained("MAX(AT(ε=8,α=4,i=1,support=Border(ratio=0.2)),N-FGSM(ε=8))", few, FitConfig(epochs=2, batch=8))
    assert sorted(parsed) == ["Border(ratio=0.2)", "WholeClip"]


@pytest.fixture
def pairing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The method of docs/training.md, imported from a file of a user's own."""
    page = (Path(__file__).parents[3] / "docs" / "training.md").read_text()
    (code,) = re.findall(r"```python\n(from dataclasses.*?)```", page, re.DOTALL)
    (tmp_path / "my_methods.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    return importlib.import_module("my_methods").LogitPairing


def test_a_method_of_ones_own_trains_like_the_others(pairing: Any, small_data: VideoClips, tmp_path: Path) -> None:
    policy = parse_policy("AT(ε=8,α=8,i=1)+AWP+EMA(τ=0.5)")
    ends = {}
    for weight in (0.0, 1.0):
        how = {"epochs": 1, "batch": 64, "out": tmp_path / str(weight)}
        run = vr.fit(build("r3d-small", 10), small_data, pairing(policy, weight=weight), **how)
        assert {row["model"] for row in run.rows if "model" in row} == {str(pairing(policy, weight=weight))}
        ends[weight] = weights(run.model)
    assert not torch.equal(ends[0.0], ends[1.0])
    plain = vr.fit(build("r3d-small", 10), small_data, policy, epochs=1, batch=64)
    assert plain.rows[-1]["model"] == str(policy)
    with pytest.raises(RunError, match="another"):
        vr.fit(
            build("r3d-small", 10), small_data, pairing(policy, weight=2.0), epochs=1, batch=64, out=tmp_path / "1.0"
        )
