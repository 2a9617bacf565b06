"""Code is named by what was typed, whole, and by nothing that merely looks like it."""

from __future__ import annotations

import pytest

from vidrobust.errors import InputError
from vidrobust.runs.code import only_code_in, reading_files, refuse_code, typed_code

TEXT = "mypkg.module:factory(size=3)"


@pytest.mark.parametrize("typed", [TEXT, f"--model={TEXT}", f'{{"model":"{TEXT}"}}', f"a {TEXT} b"])
def test_what_was_typed_may_run(typed: str) -> None:
    with only_code_in(["evaluate", typed]):
        refuse_code(TEXT, "")


NEAR = ["mypkg.module:factory", "mypkg.module:factory(size=4)", f"x.{TEXT}", f"x{TEXT}", f"{TEXT}.safetensors",
        f"folder/{TEXT}", f"{TEXT}/model.safetensors", f"{TEXT}(a=1)", "", TEXT.replace(".", "_")]  # fmt: skip


@pytest.mark.parametrize("typed", NEAR)
def test_what_only_looks_like_it_may_not(typed: str) -> None:
    with only_code_in(["evaluate", typed]), pytest.raises(InputError, match="files are data"):
        refuse_code(TEXT, "")


@pytest.mark.parametrize("typed", ["PGD(support=mypkg.Own(share=0.2))", "mypkg.Own(8, x)", "Linf(8, mypkg.Own)"])
def test_a_class_may_have_been_typed_with_its_fields(typed: str) -> None:
    with only_code_in([typed]):
        refuse_code("mypkg.Own", "", called=True)
        for near in ("mypkg.Ow", "pkg.Own", "mypkg.Own.Inner", "mypkg"):
            with pytest.raises(InputError, match="files are data"):
                refuse_code(near, "", called=True)


def test_a_call_names_what_its_files_may_and_a_command_line_is_not_widened() -> None:
    refuse_code(TEXT, "")  # the call's own text
    with reading_files([TEXT]):
        refuse_code(TEXT, "")
        with reading_files():
            refuse_code(TEXT, "")
    with reading_files(), pytest.raises(InputError):
        refuse_code(TEXT, "")
    with only_code_in([]), reading_files([TEXT]), pytest.raises(InputError):
        refuse_code(TEXT, "")
    assert typed_code() is None
