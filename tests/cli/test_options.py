"""What --print_config prints of a verb, read back by --config, is the same configuration."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from vidrobust.cli.entry import VERBS
from vidrobust.cli.options import flattened
from vidrobust.runs.keys import dumps
from vidrobust.study.recipes import PROFILES, TRAININGS

Command = Callable[..., tuple[int, str, str]]

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))

WAYS: list[list[str]] = [
    *([verb] for verb in VERBS if verb != "data"),
    *(["data", verb] for verb in ("make", "check", "cache")),
    *(["study", "--profile", name] for name in PROFILES),
    *(["study", "--config", str(file)] for file in RECIPES),
    *(["train", "--recipe", name] for name in TRAININGS),
]
"""Every verb, and every set of defaults that has a name."""

TEXT = ("data", "method", "model", "weights", "address", "defence", "gpu", "fit.freeze", "clips.name", "gap.policy")
"""Options that take any text."""

ODD = [
    "1e3",
    "1E+05",
    "12",
    ".5",
    "yes",
    "off",
    "~",
    "0x1F",
    "1:30",
    "2020-01-01",
    "a: b",
    "[1]",
    "{",
    "'",
    "é\n",
    " ",
]


def verb_of(way: list[str]) -> list[str]:
    return way[: 2 if way[0] == "data" else 1]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_what_is_printed_is_read_back(way: list[str], vidrobust: Command, tmp_path: Path) -> None:
    for flags in ("", "=skip_default"):
        code, printed, err = vidrobust(*way, f"--print_config{flags}")
        assert code == 0, err
        (tmp_path / "mine.yaml").write_text(printed)
        code, again, err = vidrobust(*verb_of(way), "--config", tmp_path / "mine.yaml", f"--print_config{flags}")
        assert (code, again) == (0, printed), err
    whole = vidrobust(*way, "--print_config")[1]
    assert vidrobust(*verb_of(way), "--config", tmp_path / "mine.yaml", "--print_config")[1] == whole


@pytest.mark.parametrize("name", PROFILES)
def test_what_is_printed_of_a_profile_is_the_profile(name: str, vidrobust: Command) -> None:
    printed = yaml.safe_load(vidrobust("study", "--profile", name, "--print_config")[1])
    profile = json.loads(dumps(asdict(PROFILES[name]())))
    assert {field: printed[field] for field in profile} == profile


@pytest.mark.parametrize("name", TRAININGS)
def test_what_is_printed_of_a_recipe_is_the_recipe(name: str, vidrobust: Command) -> None:
    printed = yaml.safe_load(vidrobust("train", "--recipe", name, "--print_config")[1])
    recipe = TRAININGS[name]()
    above = {field: printed[field] for field in ("epochs", "batch", "lr", "augment")}
    assert printed["fit"] | above == asdict(recipe.fit)
    assert (printed["model"], printed["clips"]["frames"]) == (recipe.model, recipe.clips.frames)


@pytest.mark.parametrize("name", ["recipe", "profile"])
def test_a_preset_may_be_named_by_a_file_and_options_override_it(name: str, vidrobust: Command, tmp_path: Path) -> None:
    verb, value, option = {
        "recipe": ("train", "hmdb51-resnext101-64f", "--epochs"),
        "profile": ("study", "full", "--seeds"),
    }[name]
    (tmp_path / "mine.yaml").write_text(f"{name}: {value}\n")
    by_file = vidrobust(verb, "--config", tmp_path / "mine.yaml", option, 7, "--print_config")
    by_option = vidrobust(verb, f"--{name}", value, option, 7, "--print_config")
    assert by_file == by_option
    assert "7" in by_file[1]


@pytest.mark.parametrize("verb", ["study", "train"])
def test_help_tells_the_defaults_of_the_preset(verb: str, vidrobust: Command) -> None:
    preset, option, default = {
        "study": (("--profile", "full"), "--adversarial.epochs", 10),
        "train": (("--recipe", "hmdb51-resnext101-64f"), "--epochs", 30),
    }[verb]
    said = vidrobust(verb, *preset, "--help")[1]
    assert f"default: {default}" in said[said.index(f"  {option} ") :].partition(")")[0]


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in flat.items():
        *folders, last = name.split(".")
        place = found
        for folder in folders:
            place = place.setdefault(folder, {})
        place[last] = value
    return found


def reads_as_nothing(text: str) -> bool:
    """Of an option that may be absent, jsonargparse takes such a text, as ``~`` and ``# a``, for its absence."""
    try:
        return yaml.safe_load(text) is None
    except yaml.YAMLError:
        return False


def other(name: str, value: object) -> st.SearchStrategy[Any]:
    """Another value of the same option."""
    if name in TEXT:
        text = st.one_of(st.sampled_from(ODD), st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"))))
        return text if value is not None else text.filter(lambda drawn: not reads_as_nothing(drawn))
    if isinstance(value, bool):
        return st.just(not value)
    if isinstance(value, int):
        return st.integers(-3, 10**6)
    if isinstance(value, float):
        return st.floats(allow_nan=False, allow_infinity=False)
    if isinstance(value, list) and value and name != "track":
        return st.lists(st.sampled_from(value), max_size=3) if name != "clips.contrast" else st.just(value[::-1])
    return st.just(value)


@settings(
    max_examples=40,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # every example is told whole: shrinking takes minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_configuration_is_read_back(data: st.DataObject, vidrobust: Command, tmp_path: Path) -> None:
    way = data.draw(st.sampled_from([way for way in WAYS if way != ["runs"]]))  # it prints nothing to change
    flat = flattened(yaml.safe_load(vidrobust(*way, "--print_config")[1]))
    changed = {name: data.draw(other(name, flat[name])) for name in data.draw(st.sets(st.sampled_from(sorted(flat))))}
    (tmp_path / "asked.yaml").write_text(json.dumps(nested(flat | changed), ensure_ascii=False))
    code, printed, err = vidrobust(*verb_of(way), "--config", tmp_path / "asked.yaml", "--print_config")
    assert code == 0, err
    assert flattened(yaml.safe_load(printed)) == flat | changed
    (tmp_path / "printed.yaml").write_text(printed)
    assert vidrobust(*verb_of(way), "--config", tmp_path / "printed.yaml", "--print_config") == (0, printed, "")
