"""The order of frames, written a second time with lists."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.corrupted import drawn, order_of

SEVERITIES = range(1, 6)
LENGTHS = (8, 16, 40)


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_sampling_holds_one_frame_in_so_many(severity: int, frames: int) -> None:
    rate = (2, 4, 8, 16, 32)[severity - 1]
    kept = list(range(frames))[::rate]
    held = [frame for frame in kept for _ in range(rate)][:frames]
    assert order_of("ucf101-p", "sampling", severity, frames) == held
    assert order_of("ucf101-p", "reverse_sampling", severity, frames) == held[::-1]


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_jumble_shuffles_within_segments(severity: int, frames: int) -> None:
    segment, generator, expected = 64 // 2**severity, drawn(), []
    for start in range(0, frames, segment):
        own = list(range(start, min(start + segment, frames)))
        expected += [own[i] for i in torch.randperm(len(own), generator=generator).tolist()]
    assert order_of("ucf101-p", "jumble", severity, frames) == expected


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_box_jumble_shuffles_segments(severity: int, frames: int) -> None:
    segment = (severity + 1) ** 2
    boxes = [list(range(start, min(start + segment, frames))) for start in range(0, frames, segment)]
    order = torch.randperm(math.ceil(frames / segment), generator=drawn()).tolist()
    assert order_of("ucf101-p", "box_jumble", severity, frames) == [time for box in order for time in boxes[box]]


@pytest.mark.parametrize("frames", LENGTHS)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_freeze_shows_few_frames_until_the_next(severity: int, frames: int) -> None:
    kept = int([0.4 * frames, 0.2 * frames, 0.1 * frames, max(0.05 * frames, 2), 1][severity - 1]) or 1
    chosen = sorted(torch.randperm(frames, generator=drawn()).tolist()[:kept])
    expected = [max([0, *(frame for frame in chosen if frame <= time)]) for time in range(frames)]
    assert order_of("ucf101-p", "freeze", severity, frames) == expected


@pytest.mark.parametrize("severity", SEVERITIES)
def test_reversal_plays_pieces_backwards(severity: int) -> None:
    pieces = {1: [3, 3, 3, 3, 3], 2: [4, 4, 4, 3], 3: [5, 5, 5], 4: [8, 7], 5: [15]}[severity]
    expected, start = [], 0
    for piece in pieces:
        expected += list(range(start, start + piece))[::-1]
        start += piece
    assert order_of("frames", "reversal", severity, 15) == expected


def test_the_end_stands_still() -> None:
    shown = [order_of("frames", "freeze", severity, 10) for severity in SEVERITIES]
    assert shown[0] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 8]
    assert shown[2] == [0, 1, 2, 3, 4, 4, 4, 4, 4, 4]
    assert shown[4] == [0] * 10


@pytest.mark.parametrize("severity", SEVERITIES)
def test_dropped_frames_leave_the_one_before(severity: int) -> None:
    shown = order_of("frames", "drop", severity, 31)
    lost = sum(now != time for time, now in enumerate(shown))
    assert lost == round((0.1, 0.2, 0.4, 0.6, 0.8)[severity - 1] * 30)
    assert all(now == time or now == shown[time - 1] for time, now in enumerate(shown))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_shuffled_frames_stay_within_their_window(severity: int) -> None:
    shown, window = order_of("frames", "shuffle", severity, 16), (2, 4, 8, 12, 16)[severity - 1]
    assert sorted(shown) == list(range(16))
    assert shown != sorted(shown)
    assert all(now // window == time // window for time, now in enumerate(shown))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_shift_goes_either_way_and_the_outermost_frame_stands(severity: int) -> None:
    by = 2 * severity
    later, earlier = [min(t + by, 19) for t in range(20)], [max(t - by, 0) for t in range(20)]
    shown = [order_of("frames", "shift", severity, 20, seed) for seed in range(8)]
    assert later in shown
    assert earlier in shown
    assert all(one in (later, earlier) for one in shown)


@pytest.mark.parametrize("kind", ["drop", "shuffle", "shift", "freeze", "reversal"])
def test_a_single_frame_stays(kind: str) -> None:
    assert order_of("frames", kind, 5, 1) == [0]
