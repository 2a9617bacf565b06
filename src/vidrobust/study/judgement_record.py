"""The record that the jobs of a judgement add up to."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from vidrobust.attacks.text import threat_from_text
from vidrobust.evaluation.fields import in_levels
from vidrobust.evaluation.judging import ATTACKS
from vidrobust.results.judgements.record import (
    Judgement,
    accuracy_record,
    threat_name,
    write_adversarial,
    write_judgement,
)
from vidrobust.results.judgements.schema import VERSION
from vidrobust.results.numbers.rules import RULES, Measured
from vidrobust.results.numbers.verdict import (
    Verdict,
    add_up,
    better_class_order,
    chance_accuracy,
    missing_sources,
    verdict,
)
from vidrobust.runs.jobs import stored_job
from vidrobust.study.jobs import Job, device, job_key
from vidrobust.study.judging import JudgeVideos, recall
from vidrobust.study.judging_corruptions import corruption_records
from vidrobust.study.workers import job_timings

if TYPE_CHECKING:
    from vidrobust.runs.directory import Run
    from vidrobust.runs.rows import Row
    from vidrobust.study.judgement_plan import JudgementPlan, Region

CURVE = tuple(number / 8 for number in range(0, 17))
"""Shares of the largest ε at which the curve is recorded."""

FUNCTION = re.compile(r"<function (\w+) at 0x[0-9a-f]+>")
"""A loss in the text of an attack, whose address differs from process to process."""


def recorded(plan: JudgementPlan, run: Run) -> Judgement:
    """The record of a judgement whose jobs are done."""
    looks = [_row(run, look) for look in plan.looks()]
    right, table = _clean(plan, looks)
    of = [clip["source"] for clip in plan.manifest["clips"]]
    model = add_up(Measured(**one) for row in looks for one in row["measured"])
    if table:
        classes = max(row["classes"] for row in looks)
        model += [better_class_order(table), chance_accuracy(sum(right), plan.clips, classes)]
    model += [Measured("leaks", 0, plan.clips), missing_sources(len(set(of)))]
    searches = [one for one in plan.findings if RULES[one.name].scope == "search"]
    model += [one for one in plan.findings if one not in searches]
    threats, checked, spent = [], {}, 0
    for number, region in enumerate(plan.regions):
        found, measured, cost = _region(plan, run, region, number, right, of)
        drift = [one for one in measured if RULES[one.name].scope == "model"]
        model, spent = add_up([*model, *drift]), spent + cost
        kept = add_up([*(one for one in measured if one not in drift), *searches])
        for threat in found:
            standing = threat["worst_case"]["correct"]
            threat["checks"] = [_rule_text(one) for one in kept]
            checked[threat_name(threat["norm"], threat["eps"], threat["support"])] = (standing, kept)
        threats += found
    record: dict[str, Any] = {
        "schema": VERSION,
        **_verdict_fields(verdict(model, checked)),
        "model": {
            "name": plan.name[:2000],
            "weights": plan.subject.weights,
            "random": any(row["random"] for row in looks),
        },
        "data": {"name": plan.data[:2000], "split": plan.subject.split},
        "clips": {"hash": plan.manifest["hash"], "shape": plan.manifest["shape"], "list": plan.manifest["clips"]},
        "clean": {**accuracy_record(right, of), "right": "".join(map(str, right))},
        "threats": threats,
        "checks": [_rule_text(one) for one in model],
        "ensemble": asdict(plan.ensemble),
        **_provenance(run),
        "gradients": spent,
        "seconds": round(sum(row["seconds"] for row in job_timings(run)), 1),
    }
    if plan.videos and (survived := _row(run, JudgeVideos(plan.subject))["survived"]):
        videos = [int(digit) for digit in survived]
        sources = of if len(of) == len(videos) else list(map(str, range(len(videos))))
        record["videos"] = accuracy_record(videos, sources)
    harmed = [row for job in plan.corrupted() for row in _row(run, job)["rows"]]
    if harmed:
        record["corruptions"] = corruption_records(harmed, plan.manifest)
    return write_judgement(run.path, record)


def _verdict_fields(found: Verdict) -> dict[str, Any]:
    return {
        "verdict": str(found),
        "reasons": [str(reason)[:2000] for reason in found.reasons],
        "remedies": list(dict.fromkeys(reason.remedy for reason in found.reasons)),
        "notes": [note[:2000] for note in found.notes],
    }


def _row(run: Run, job: Job) -> Row:
    rows = stored_job(run.job_path(job_key(job)))
    assert rows is not None
    return rows[0]


def _clean(plan: JudgementPlan, looks: Sequence[Row]) -> tuple[list[int], list[list[int]]]:
    """Of each clip whether it is right, and how often clips of a class get another."""
    right, classes = [0] * plan.clips, max((row["classes"] for row in looks), default=0)
    table = torch.zeros(classes, classes, dtype=torch.int64)
    for row in looks:
        for index, correct in zip(row["clips"], row["right"], strict=True):
            right[index] = correct
        for index, given in zip(row["clips"], row["predicted"], strict=False):
            table[plan.manifest["clips"][index]["label"], given] += 1
    return right, table.tolist()


def _region(
    plan: JudgementPlan, run: Run, region: Region, number: int, right: Sequence[int], of: list[str]
) -> tuple[list[dict[str, Any]], list[Measured], int]:
    """What was found under one norm and support: its threats, what was counted, and the gradients spent."""
    distance = torch.where(torch.tensor(right) == 1, math.inf, 0.0).double()
    found_by = ["" if alive else "clean" for alive in right]
    measured: list[Measured] = []
    standing: dict[str, Counter[str]] = {f"{eps:g}": Counter() for eps in region.eps}
    broke: dict[str, list[int]] = {}
    spent, kept = 0, []
    opened = plan.subject.open()
    for line in plan.stages(region):
        rows = line[0].rows
        clean = opened.clips.centre(torch.tensor(rows))
        own, adversarial, names = distance[list(rows)], clean.clone(), [found_by[row] for row in rows]
        for job in line:
            row = _row(run, job)
            recall(run.job_path(job_key(job)), own, adversarial, names)
            measured += [Measured(**one) for one in row["measured"]]
            spent += row["gradients"]
            for eps in region.eps:
                standing[f"{eps:g}"][job.name] += int((own > eps / 255).sum())
            if row["diagnostic"] and job.name in ATTACKS:
                broke.setdefault(job.name, []).extend(row["broke"])
        distance[list(rows)] = own
        for row_of_clip, name in zip(rows, names, strict=True):
            found_by[row_of_clip] = name
        fell = ((own > 0) & own.isfinite()).nonzero().flatten().tolist()
        kept += [(rows[index], clean[index], adversarial[index]) for index in fell]
    file = f"adversarial-{number}.npz"
    shape = tuple(plan.manifest["shape"])
    clean = torch.stack([one for _, one, _ in kept]) if kept else torch.zeros(0, *shape)
    adversarial = torch.stack([one for _, _, one in kept]) if kept else torch.zeros(0, *shape)
    write_adversarial(run.path / file, clean.numpy(), adversarial.numpy(), [index for index, _, _ in kept])
    threats = [_threat(region, eps, distance, found_by, of) for eps in region.eps]
    for threat in threats:
        threat |= {"standing": dict(standing[f"{threat['eps']:g}"]), "only": _only(broke), "adversarial": file}
        threat["attacks"] = _attacks(plan, region, threat["eps"])
    return threats, add_up(measured), spent


def _threat(
    region: Region, eps: float, distance: torch.Tensor, found_by: Sequence[str], of: list[str]
) -> dict[str, Any]:
    levels = [None if math.isinf(size) else in_levels(size) for size in distance.tolist()]
    alive = [int(size is None or size > eps) for size in levels]
    grid = sorted({*(round(share * region.eps[-1], 6) for share in CURVE), *region.eps})
    curve = [[at, sum(size is None or size > at for size in levels)] for at in grid]
    fell = Counter(name for name, level in zip(found_by, levels, strict=True) if level is not None and 0 < level <= eps)
    about = {"norm": region.norm, "support": region.support, "eps": eps, "worst_case": accuracy_record(alive, of)}
    return about | {"distance": levels, "found_by": list(found_by), "curve": curve, "fell": dict(fell)}


def _only(broke: dict[str, list[int]]) -> dict[str, int]:
    """Of the diagnostic subset, the clips that an attack broke and no other."""
    counts = Counter(row for rows in broke.values() for row in rows)
    return {name: sum(counts[row] == 1 for row in rows) for name, rows in broke.items()}


def _attacks(plan: JudgementPlan, region: Region, eps: float) -> dict[str, str]:
    """The attacks with their parameters, as text."""
    threat = threat_from_text(eps, region.norm, region.support)
    searches = plan.ensemble.attacks(threat, 10, eps / 255 / 4)
    found = {"FMN": repr(plan.ensemble.nearest(threat))} | {name: repr(attack) for name, attack in searches.items()}
    found["PGD"] = re.sub(r"alpha=[\d.e-]+", "alpha=calibrated", found["PGD"])
    return {name: FUNCTION.sub(r"\1", text)[:4000] for name, text in found.items()}


def _rule_text(measured: Measured) -> dict[str, Any]:
    """A count with its rule, as records hold it."""
    rule = RULES[measured.name]
    text = rule.because.format(count=measured.count, of=measured.of)
    about = {"limit": rule.limit, "speaks": rule.speaks(measured), "text": text, "told": measured.told[:2000]}
    return {"name": measured.name, "count": measured.count, "of": measured.of, **about}


def _provenance(run: Run) -> dict[str, Any]:
    found = run.provenance
    machine = {"platform": str(found["platform"]), "processors": str(found["cpu_count"]), "device": str(device())}
    return {
        "code": {"version": str(found["versions"].get("vidrobust", "")), "revision": str(found["source_revision"])},
        "versions": {**{name: str(text) for name, text in found["versions"].items()}, "python": str(found["python"])},
        "machine": machine,
    }
