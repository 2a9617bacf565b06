"""The card of a model on the Hugging Face Hub, made from its judgement: its numbers in the hub's format and in words.

The hub's client writes the metadata (``model-index``); it comes with ``pip install "vidrobust[hub]"``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from vidrobust.errors import MissingExtraError
from vidrobust.results.judgements.record import Judgement, threat_name
from vidrobust.results.pages.judgement import percent
from vidrobust.results.pages.tables import plain
from vidrobust.runs.provenance import package_version
from vidrobust.runs.rows import Row

TASK = "video-classification"
"""The hub's name of the task."""


def model_card(
    name: str, about: Mapping[str, Any], judgement: Judgement | None, rows: Sequence[Row] = (), works: str = ""
) -> str:
    """The text of ``README.md``: metadata, and the measurements with the verdict on them.

    Args:
        name: the repository, ``ORG/NAME``.
        about: what the file of weights says of the model: ``policy``, ``classes``, ``data``.
        judgement: of these weights, or None where there is none.
        rows: of the training, for the accuracy of a model that was not judged.
        works: what the model and its judgement rest on, as BibTeX.

    Raises:
        MissingExtraError: the hub's client is not installed.
    """
    try:
        from huggingface_hub import EvalResult, ModelCard, ModelCardData
    except ImportError as error:
        raise MissingExtraError("huggingface_hub", "hub", "a model card", str(error)) from error
    found = _judged(judgement.record) if judgement is not None else _trained(about, rows)
    data = ModelCardData(
        library_name="vidrobust",
        pipeline_tag=TASK,
        tags=["vidrobust", "adversarial-robustness", "adversarial-training"],
        model_name=name.rpartition("/")[2],
        eval_results=[EvalResult(task_type=TASK, metric_type="accuracy", **one) for one in found] or None,
    )
    parts = [f"# {plain(name)}", _verdict(judgement), _numbers(judgement, found), _use(name), _training(about)]
    parts += [f"## What it rests on\n\n```bibtex\n{works.strip()}\n```"] if works else []
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"))


def _judged(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The evaluation results of a judgement, as the hub's client takes them."""
    on = _data(record["data"]["name"], record["data"]["split"])
    judged = {"clips_sha256": record["clips"]["hash"], "verdict": record["verdict"]}
    found = [{**on, "metric_name": "accuracy", **_value(record["clean"], judged)}]
    for threat in record["threats"]:
        name = threat_name(threat["norm"], threat["eps"], threat["support"])
        what = {"norm": threat["norm"], "eps_255": threat["eps"], "support": threat["support"], **judged}
        metric = f"accuracy under {name}, worst case"
        found.append({**on, "metric_name": metric, **_value(threat["worst_case"], what)})
    return found


def _trained(about: Mapping[str, Any], rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The clean accuracy that its training measured."""
    name = str(about.get("data", {}).get("name", "")) or "training data"
    row = next((row for row in reversed(rows) if row["kind"] == "accuracy" and row.get("split") == "test"), None)
    if row is None:
        return []
    value = {"metric_value": round(row["top1"] / row["clips"], 6), "metric_args": {"clips": row["clips"]}}
    return [{**_data(name, "test"), "metric_name": "accuracy", **value}]


def _data(name: str, split: str) -> dict[str, str]:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "data"
    return {"dataset_type": slug, "dataset_name": name, "dataset_split": split}


def _value(share: Mapping[str, Any], what: Mapping[str, Any]) -> dict[str, Any]:
    counts = {"clips": share["clips"], "sources": share["sources"], "low_95": share["low"], "high_95": share["high"]}
    return {"metric_value": round(share["correct"] / share["clips"], 6), "metric_args": {**what, **counts}}


def _verdict(judgement: Judgement | None) -> str:
    if judgement is None:
        return "This model was not judged: nothing is said here of its robustness (`vidrobust judge` measures it)."
    record = judgement.record
    if judgement.trust:
        return "**Verdict of its judgement: trust.** No check speaks against the numbers below."
    reasons = "\n".join(f"- {plain(reason)}" for reason in record["reasons"])
    return f"**Verdict of its judgement: do not trust** the numbers below, because:\n\n{reasons}"


def _numbers(judgement: Judgement | None, found: Sequence[Mapping[str, Any]]) -> str:
    """A table of accuracies; of a judgement with what they rest on."""
    if not found:
        return ""
    on = f"{plain(found[0]['dataset_name'])}, split {plain(found[0]['dataset_split'])}"
    if judgement is None:
        clips = found[0]["metric_args"]["clips"]
        return f"Clean accuracy on {on}: {found[0]['metric_value']:.1%} of {clips} clips.".replace("%", " %")
    shares = [judgement.record["clean"], *(threat["worst_case"] for threat in judgement.record["threats"])]
    lines = [f"| {plain(one['metric_name'])} | {percent(share)} |" for one, share in zip(found, shares, strict=True)]
    summary = (
        "95 % intervals are clustered by source video; ε is in units of 1/255. The worst case counts a clip as right "
        "only if no attack of the ensemble broke it: a stronger attack can only lower it. `judgement.json` has every "
        "clip, check and attack."
    )
    return "\n".join([f"On {on}:", "", "| | |", "| --- | --- |", *lines, "", summary])


def _use(name: str) -> str:
    return (
        '```sh\npip install "vidrobust[hub]"\n```\n\n```python\nimport vidrobust as vr\n\n'
        f'model = vr.load_model("hf:{name}")  # from clips B C T H W in [0, 1] to logits\n```\n\n'
        "`(revision=…)` behind the name pins a commit. Only tensors and a table are read: no code runs."
    )


def _training(about: Mapping[str, Any]) -> str:
    clips = about.get("data", {})
    frames, size = clips.get("frames"), clips.get("size")
    lines = [("method", about.get("policy")), ("data", clips.get("name"))]
    lines += [("clips", f"{frames} frames of {size} × {size} pixels" if frames and size else None)]
    lines += [("classes", ", ".join(map(str, about.get("classes", ()))) or None), ("vidrobust", package_version())]
    return "## How it was made\n\n" + "\n".join(f"- {what}: {plain(value)}" for what, value in lines if value)
