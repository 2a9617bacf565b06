"""What a full decode of each video showed, kept on disk: the index behind random access and behind the data report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

from vidrobust.data.decoding.random_access import Survey, survey
from vidrobust.data.decoding.stored import FileState, StoredVideo, stored_video
from vidrobust.data.decoding.streams import damage
from vidrobust.data.freshness import is_fresh, stamped, state_of
from vidrobust.data.parallel import VideoProgress, in_order
from vidrobust.data.storage import cache_root, locked
from vidrobust.data.videos import Video
from vidrobust.errors import DecodeError, RunError
from vidrobust.runs.files import write_atomic
from vidrobust.runs.keys import content_key, dumps
from vidrobust.runs.rows import read_json_lines

FORMAT = 5
OK, DAMAGED = "ok", "damaged, used"
CRASHES = "crashes the decoder"


@dataclass(frozen=True)
class SurveyOutcome:
    """What became of a video.

    Attributes:
        outcome: ``ok``, ``damaged, used`` (a few frames are lost), or in a word or two why it cannot be used.
        reason: the whole message; empty if all is well.
        survey: what is known of it, or None if it cannot be used.
    """

    outcome: str
    reason: str
    survey: Survey | None


def surveyed(
    root: Path,
    videos: Sequence[Video],
    *,
    damaged: str = "keep",
    workers: int = 1,
    progress: VideoProgress | None = None,
) -> list[SurveyOutcome]:
    """Decode each video once, in other processes, unless that was done before and its file has not changed.

    Args:
        root: of the data set.
        videos: to survey.
        damaged: ``keep`` or ``refuse`` videos with a few bad packets.
        workers: processes.
        progress: called with (done, all).

    Raises:
        RunError: the disk is full or the cache cannot be written.
    """
    place = cache_root() / "surveys" / f"{content_key([FORMAT, str(root.resolve()), damaged])}.jsonl"
    stored = [stored_video(root, video) for video in videos]
    states = [_state(one) for one in stored]
    with locked(place):
        known = _known(place)
        found = [known.get(video.path) for video in videos]
        left = [i for i, line in enumerate(found) if line is None or not is_fresh(stored[i], states[i], line)]
        results = in_order(partial(_surveyed, damaged), [stored[i] for i in left], workers, _crashed)
        with place.open("ab") as journal:
            for done, (i, result) in enumerate(zip(left, results, strict=True), len(videos) - len(left) + 1):
                line = {"video": videos[i].path, **stamped(stored[i], states[i]), **_packed(result)}
                journal.write(f"{dumps(line)}\n".encode())
                journal.flush()
                found[i] = line
                if progress is not None:
                    progress(done, len(videos))
    return [_unpacked(line) for line in found if line is not None]


def _known(place: Path) -> dict[str, Any]:
    try:
        lines = list(read_json_lines(place))
        if place.exists() and not place.read_bytes().endswith(b"\n"):  # torn by a kill
            write_atomic(place, "".join(f"{dumps(line)}\n" for line in lines).encode())
        for line in lines:  # that they are as they must be
            (line["stamp"], line["noted"] - line["changed"], line["digest"])
        return {line["video"]: line for line in lines}
    except (RunError, KeyError, TypeError):
        place.unlink()  # it can always be made again
        return {}


def _state(video: StoredVideo) -> FileState:
    try:
        return state_of(video)
    except OSError:
        return FileState(("gone",), 0)


def _surveyed(damaged: str, video: StoredVideo) -> SurveyOutcome:
    try:
        found = survey(video, damaged)  # type: ignore[arg-type]
    except DecodeError as error:
        return SurveyOutcome(error.outcome, str(error), None)
    if not found.lost:
        return SurveyOutcome(OK, "", found)
    return SurveyOutcome(DAMAGED, f"{video}: {damage(found.lost, found.spoiled)}", found)


def _crashed(video: StoredVideo) -> SurveyOutcome:
    return SurveyOutcome(CRASHES, f"{video} takes the decoder's process down. Delete the file.", None)


def _packed(found: SurveyOutcome) -> dict[str, Any]:
    line: dict[str, Any] = {"outcome": found.outcome, "reason": found.reason}
    if found.survey is not None:
        fields: dict[str, Any] = asdict(found.survey)
        times = fields.pop("times")
        steps = [b - a for a, b in zip(times, times[1:], strict=False)]
        even = len(set(steps)) == 1
        fields["times"] = [times[0], *(steps[:1] if even else steps)] if times else []
        line["survey"] = fields
    return line


def _unpacked(line: dict[str, Any]) -> SurveyOutcome:
    if "survey" not in line:
        return SurveyOutcome(line["outcome"], line["reason"], None)
    fields = dict(line["survey"])
    times = fields["times"]
    if len(times) == 2:
        times = [times[0]] + [times[1]] * (fields["frames"] - 1)
    fields |= {"times": tuple(accumulate(times)), "keys": tuple(fields["keys"]), "stored": tuple(fields["stored"])}
    return SurveyOutcome(line["outcome"], line["reason"], Survey(**fields))


def usable_videos(found: Sequence[SurveyOutcome]) -> Iterator[tuple[int, Survey]]:
    """Place and survey of the videos that can be used."""
    for place, one in enumerate(found):
        if one.survey is not None:
            yield place, one.survey
