"""Jobs begin when what they need is there, and rows stand in the order of the plan, whatever the order of the ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from vidrobust.runs.directory import Run
from vidrobust.runs.rows import Row, append_lines
from vidrobust.study.jobs import Job, Place, job_key
from vidrobust.study.progress import Display
from vidrobust.study.workers import Workers


@dataclass(frozen=True)
class Piece(Job):
    """A job that does nothing."""

    name: str
    cost: int = 1
    after: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        return self.name

    @property
    def gradients(self) -> int:
        return self.cost

    @property
    def needs(self) -> tuple[str, ...]:
        return self.after

    def run(self, place: Place) -> list[Row]:
        raise AssertionError("the engine of these tests runs nothing")


class LastFirst:
    """An engine that ends the job that came last, one a call."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self._open: list[tuple[str, Job, Path]] = []

    def submit(self, key: str, job: Job, jobs: Path) -> None:
        self.begun.append(job.title)
        self._open.append((key, job, jobs))

    def finished(self, seconds: float) -> Sequence[str]:
        key, job, jobs = self._open.pop()
        (jobs / key).mkdir(parents=True)
        append_lines(jobs / key / "rows.jsonl", [{"kind": "piece", "of": job.title}])
        return [key]

    def spent(self) -> int:
        return 0

    def close(self, at_once: bool) -> None:
        pass


def workers(out: Path, engine: LastFirst) -> Workers:
    return Workers(Run.start(out, "pieces", {}, 0), engine, Display(9, Console(quiet=True)))


def written(out: Path) -> list[str]:
    return [row["of"] for row in Run(out).rows()]


MODEL = Piece("model")
JUDGED = Piece("judged", after=(job_key(MODEL),))


def test_a_job_waits_for_what_it_needs_and_others_do_not_wait_with_it(tmp_path: Path) -> None:
    engine = LastFirst()
    with workers(tmp_path / "run", engine) as pool:
        pool.add([JUDGED, Piece("short"), MODEL, Piece("long", 5)])
        assert engine.begun == ["long", "short", "model"]
        pool.do([JUDGED])
    assert engine.begun == ["long", "short", "model", "judged"]
    assert written(tmp_path / "run") == ["judged"]


def test_rows_stand_in_the_order_in_which_they_are_waited_for(tmp_path: Path) -> None:
    engine, others = LastFirst(), [Piece("one"), Piece("two")]
    with workers(tmp_path / "run", engine) as pool:
        pool.add([MODEL])
        pool.add(others)
        assert [row["of"] for row in pool.do([MODEL, JUDGED])] == ["model", "judged"]
        pool.do(others)
    assert written(tmp_path / "run") == ["model", "judged", "one", "two"]


def test_what_was_done_ahead_is_neither_done_nor_written_again(tmp_path: Path) -> None:
    with workers(tmp_path / "run", LastFirst()) as pool:
        pool.add([Piece("one"), MODEL])
        pool.do([MODEL])
        pool.do([Piece("one")])
    engine = LastFirst()
    with workers(tmp_path / "run", engine) as pool:
        pool.add([JUDGED, Piece("one")])
        pool.do([MODEL])
        pool.do([Piece("one"), JUDGED])
    assert engine.begun == ["judged"]
    assert written(tmp_path / "run") == ["model", "one", "judged"]


def test_what_an_earlier_run_has_done_is_not_left_to_do_but_counts_as_part_of_the_whole(tmp_path: Path) -> None:
    more = [Piece("one", 3), Piece("two", 4), Piece("one", 3), MODEL]
    with workers(tmp_path / "run", LastFirst()) as pool:
        assert pool.more(more) == (8, 8)
        pool.do([Piece("one", 3)])
        assert pool.more(more) == (5, 5)
    with workers(tmp_path / "run", LastFirst()) as pool:
        assert pool.more(more) == (8, 5)
