"""An option that a verb does not have is refused with those that may be meant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vidrobust.cli.completion import kinds_of
from vidrobust.cli.entry import VERBS
from vidrobust.cli.option_names import OF_EVERY_VERB, check_names, declared, option_names
from vidrobust.cli.options import Verb, parser_of
from vidrobust.errors import UsageError

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("evaluate m --clips.size 30", "--clips.size. Is it --size?"),
        ("evaluate m --clips.size=30", "--clips.size. Is it --size?"),
        ("evaluate m --clips.name motion", "--clips.name. Use --data."),
        ("evaluate m --robustness.eps 8", "--robustness.eps. Use --attack."),
        ("evaluate m --attacks PGD", "--attacks. Is it --attack?"),
        ("evaluate m -attack PGD", "-attack. Is it --attack?"),
        ("evaluate m --level.x clip", "--level.x. Is it --level?"),
        ("attack m --clips.frames 8", "--clips.frames. Is it --frames?"),
        ("sweep m --sensitivity.eps 8", "--sensitivity.eps. Is it --eps?"),
        ("certify m --worst-case.clips 8", "--worst-case.clips. Is it --clips?"),
        ("transfer m --difficulty.split val", "--difficulty.split. Is it --split?"),
        ("judge m --worst_case.steps 5", "--worst_case.steps. Is it --ensemble.steps?"),
        ("judge m --worst_case.eps 5", "--worst_case.eps. Use --threat."),
        ("judge m --ensemble.stepz 5", "--ensemble.stepz. Is it --ensemble.steps?"),
        ("judge m --ensemble.odd 5", "--ensemble.odd. There are --ensemble.steps, --ensemble.targets, "),
        ("train --size 30", "--size. Is it --clips.size?"),
        ("train --standard.lr 1", "--standard.lr. Is it --lr?"),
        ("train --adversarial.momentum 1", "--adversarial.momentum. Is it --fit.momentum?"),
        ("train --policies AT", "--policies. Use --method."),
        ("train --colour red", "--colour."),
        ("study --epochs 3", "--epochs. Is it --standard.epochs, --adversarial.epochs or --gap.epochs?"),
        ("study --method AT", "--method. Use --policies."),
        ("data cache x --clips.max-frames 8", "--clips.max-frames. Is it --max_frames?"),
        ("data check x --videos.split 2", "--videos.split. Is it --split?"),
    ],
)
def test_it_is_named_as_typed(arguments: str, said: str, vidrobust: Command) -> None:
    code, _, err = vidrobust(*arguments.split())
    assert code == 2
    assert err.startswith(f"vidrobust: error: there is no option {said}")


def test_a_whole_quoted_option_too(vidrobust: Command) -> None:
    _, _, err = vidrobust("evaluate", "m", "--attack PGD(ε=8)")
    assert "there is no option --attack PGD(ε. Is it --attack?" in err


def test_an_argument_without_a_name(vidrobust: Command) -> None:
    _, _, err = vidrobust("judge", "--subject", "zoo:motion-at")
    assert "subject is given without its name: leave out --subject." in err


def kinds() -> dict[str, type[Verb]]:
    return {name: kind for verb in VERBS for name, kind in kinds_of(verb).items()}


@pytest.mark.parametrize("verb", [*(verb for verb in VERBS if verb != "data"), "make", "check", "cache"])
def test_the_names_are_those_that_the_parser_takes(verb: str) -> None:
    kind = kinds()[verb]
    taken = {option for action in parser_of(kind, verb)._actions for option in action.option_strings}
    positional = {name for name, (of, _) in declared(kind).items() if of.metadata.get("positional")}
    ours = {*option_names(kind), *OF_EVERY_VERB} - positional - {*kind.LINKS.values()}
    assert {f"--{name}" for name in ours} | {"-h"} == {name for name in taken if " --> " not in name}


@pytest.mark.parametrize("verb", [*(verb for verb in VERBS if verb != "data"), "make", "check", "cache"])
def test_no_option_has_parts_that_are_not_declared(verb: str) -> None:
    kind = kinds()[verb]
    for name in option_names(kind):
        with pytest.raises(UsageError, match=rf"there is no option --{name}\.odd\."):
            check_names(kind, [f"--{name}.odd", "3"], {})
