"""A wrong value of an option is told in the words of the command line, not in those of its parser."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vidrobust.cli.parser_errors import in_words

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("train", "--epochs", "x"), "--epochs must be a whole number, but is 'x'."),
        (("train", "--clips.size", "big"), "--clips.size must be a whole number, but is 'big'."),
        (
            ("train", "--clips.contrast", "[0.1]"),
            "--clips.contrast must be a list in brackets of 2 values, but",
        ),
        (("train", "--clips.crop", "odd"), "--clips.crop must be one of shift, corner, resized, but is 'odd'."),
        (("train", "--track", "[foo]"), "--track must be one of tensorboard, mlflow, wandb, trackio, but is 'foo'."),
        (("train", "--fit.lr", "1"), "--fit.lr is given as --lr."),
        (("study", "--seeds", "until"), "--seeds must be a whole number or until-decided, but is 'until'."),
        (("study", "--profile", "huge"), "--profile must be one of quick, full, but is 'huge'."),
        (("judge", "zoo:motion-at", "--minutes", "ten"), "--minutes must be a number, but is 'ten'."),
        (("judge", "zoo:motion-at", "--clips", "3.5"), "--clips must be a whole number, but is '3.5'."),
        (
            ("sweep", "zoo:motion-at", "--eps", "x"),
            "--eps must be a list in brackets or a number: ε and α are",
        ),
        (("train", "--watch.eps", "abc"), "--watch.eps must be a number: ε and α are in units of 1/255"),
        (("train", "--fit", "{weight_decay: x}"), "--fit.weight_decay must be a number, but is 'x'."),
        (("train", "--clips.size", "{a: 1}"), '--clips.size must be a whole number, but is {"a": 1}.'),
        (("train", "--clips.size", "{{}}"), "--clips.size must be a whole number, but is"),
        (("train", "--config=", "other.yaml"), "--config takes a file in YAML: write its path behind it."),
        (("train", "--clips.size", "null"), "--clips.size must be a whole number, but is null."),
        (("train", "--lr"), "--lr needs a value."),
        (("train", "--clips"), "--clips takes a file in YAML: write its path behind it."),
        (("train", "odd"), "nothing takes odd: leave it out, or write its option before it."),
        (("train", "--skip-bad=x"), "--skip_bad takes no value, but is given 'x'."),
        (("data", "make", "x", "--contrast", "1"), "--contrast needs 2 values."),
        (("deck",), "the following arguments are required: run_dir."),
        (("transfer",), "the following arguments are required: runs, --attack."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_an_option_is_named_with_what_it_takes(arguments: tuple[str, ...], said: str, vidrobust: Command) -> None:
    code, _, err = vidrobust(*arguments)
    assert code == 2
    assert f"error: {said}" in err
    assert "Parser key" not in err and "Union" not in err and "NoneType" not in err


def test_what_is_no_option_is_named_as_it_is() -> None:
    assert (
        in_words('Parser key "run_dir": Expected a str. Got value: 3.', ["run_dir"])
        == "run_dir must be text, but is '3'"
    )


def test_another_message_stays() -> None:
    assert in_words("something else.") == "something else"
    assert in_words('Parser key "fit": something else.') == "--fit: something else"
