"""The conventions by name: which kinds there are and what their severities 1 to 5 mean. See docs/corruptions.md."""

from __future__ import annotations

from vidrobust.evaluation.corruptions import blur, camera, coding, colour, frames, noise, temporal, weather
from vidrobust.evaluation.corruptions.kinds import CorruptionConvention, CorruptionKind

MINIKINETICS_C = CorruptionConvention(
    "minikinetics-c",
    "Yi et al., Benchmarking the Robustness of Spatial-Temporal Models Against Corruptions, NeurIPS 2021 D&B",
    (
        CorruptionKind("shot_noise", "noise", (60, 25, 12, 5, 3), "photons at full brightness", noise.shot, "frame"),
        CorruptionKind("motion_blur", "blur", (3, 5, 7, 9, 11), "half of the frames averaged", blur.exposure),
        CorruptionKind(
            "rain",
            "weather",
            ((770, 10, 0.8), (770, 30, 0.8), (770, 60, 0.7), (500, 60, 0.6), (400, 80, 0.5)),
            "pixels per drop, its length in pixels, contrast left",
            weather.rain,
            "frame",
        ),
        CorruptionKind(
            "fog",
            "weather",
            ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
            "thickness, decay of the fractal",
            weather.fog,
            "video",
        ),
        CorruptionKind("contrast", "colour", (0.5, 0.4, 0.3, 0.2, 0.1), "share of the contrast left", colour.contrast),
        CorruptionKind(
            "brightness", "colour", (0.1, 0.2, 0.3, 0.4, 0.5), "added to the value of HSV", colour.brightness
        ),
        CorruptionKind(
            "saturate",
            "colour",
            ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)),
            "factor and lift of the saturation of HSV",
            colour.saturate,
        ),
        CorruptionKind(
            "bit_error",
            "coding",
            (100_000, 50_000, 30_000, 20_000, 10_000),
            "bytes per error",
            coding.bit_error,
            "video",
        ),
        CorruptionKind(
            "packet_loss", "coding", (1, 2, 3, 4, 6), "per cent of packets lost", coding.packet_loss, "video"
        ),
        CorruptionKind("h264_crf", "coding", (23, 30, 37, 44, 51), "constant rate factor", coding.h264_crf),
        CorruptionKind("h265_crf", "coding", (27, 33, 39, 45, 51), "constant rate factor", coding.h265_crf),
        CorruptionKind("h264_abr", "coding", (2, 4, 8, 16, 32), "times lower bit rate", coding.h264_abr),
        CorruptionKind("h265_abr", "coding", (2, 4, 8, 16, 32), "times lower bit rate", coding.h265_abr),
        CorruptionKind("frame_rate", "coding", (20, 16, 12, 9, 6), "frames per second", coding.frame_rate),
    ),
    beside=("h264_abr", "h265_abr"),
)

UCF101_P = CorruptionConvention(
    "ucf101-p",
    "Schiappa et al., A Large-Scale Robustness Analysis of Video Action Recognition Models, CVPR 2023",
    (
        CorruptionKind(
            "gaussian_noise", "noise", (0.08, 0.12, 0.18, 0.26, 0.38), "standard deviation", noise.gaussian, "frame"
        ),
        CorruptionKind(
            "shot_noise", "noise", (250, 100, 50, 30, 15), "photons at full brightness", noise.shot, "frame"
        ),
        CorruptionKind(
            "impulse_noise", "noise", (0.03, 0.06, 0.09, 0.17, 0.27), "share of values", noise.impulse, "frame"
        ),
        CorruptionKind(
            "speckle_noise", "noise", (0.15, 0.2, 0.25, 0.3, 0.35), "relative deviation", noise.speckle, "frame"
        ),
        CorruptionKind(
            "defocus_blur",
            "blur",
            ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
            "radius and softness of the disk in pixels",
            blur.defocus,
        ),
        CorruptionKind(
            "motion_blur",
            "blur",
            ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
            "radius and sigma in pixels",
            blur.motion,
            "frame",
        ),
        CorruptionKind(
            "zoom_blur",
            "blur",
            ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
            "end and step of the magnification",
            blur.zoom,
        ),
        CorruptionKind("jpeg", "coding", (25, 18, 15, 10, 7), "quality", coding.jpeg),
        CorruptionKind("mpeg1", "coding", (15, 30, 31, 31, 31), "quantiser", coding.mpeg1),
        CorruptionKind("mpeg2", "coding", (20, 31, 31, 31, 31), "quantiser", coding.mpeg2),
        CorruptionKind("sampling", "temporal", (2, 4, 8, 16, 32), "frames of which one is kept", temporal.sampling),
        CorruptionKind(
            "reverse_sampling", "temporal", (2, 4, 8, 16, 32), "frames of which one is kept", temporal.reverse_sampling
        ),
        CorruptionKind("jumble", "temporal", (32, 16, 8, 4, 2), "frames per segment", temporal.jumble, "video"),
        CorruptionKind(
            "box_jumble", "temporal", (4, 9, 16, 25, 36), "frames per segment", temporal.box_jumble, "video"
        ),
        CorruptionKind(
            "freeze",
            "temporal",
            ((0.4, 1), (0.2, 1), (0.1, 1), (0.05, 2), (0.0, 1)),
            "share of frames kept, at least so many",
            temporal.freeze,
            "video",
        ),
        CorruptionKind("static_rotate", "camera", (7.5, 15, 30, 45, 90), "degrees", camera.static_rotate),
        CorruptionKind("rotate", "camera", (7, 13, 19, 25, 31), "degrees at most, either way", camera.rotate, "frame"),
        CorruptionKind(
            "translate", "camera", (8, 16, 24, 32, 40), "pixels each way, less than", camera.translate, "video"
        ),
    ),
)

FRAMES = CorruptionConvention(
    "frames",
    "vidrobust's own: what users of large video models ask of them",
    (
        CorruptionKind(
            "occlusion", "picture", (0.05, 0.1, 0.2, 0.3, 0.5), "share of the frame covered", frames.occlusion, "video"
        ),
        CorruptionKind(
            "resolution", "picture", (0.75, 0.5, 0.35, 0.25, 0.125), "share of height and width", frames.resolution
        ),
        CorruptionKind("reversal", "temporal", (5, 4, 3, 2, 1), "pieces played backwards", frames.reversal),
        CorruptionKind(
            "freeze", "temporal", (0.2, 0.4, 0.6, 0.8, 1.0), "share of the clip that stands still", frames.freeze
        ),
        CorruptionKind("drop", "temporal", (0.1, 0.2, 0.4, 0.6, 0.8), "share of frames lost", frames.dropped, "video"),
        CorruptionKind(
            "shuffle",
            "temporal",
            (0.125, 0.25, 0.5, 0.75, 1.0),
            "window, as a share of the clip",
            frames.shuffled,
            "video",
        ),
        CorruptionKind(
            "shift", "temporal", (0.1, 0.2, 0.3, 0.4, 0.5), "share of the clip's length", frames.shift, "video"
        ),
    ),
)

CONVENTIONS = {one.name: one for one in (MINIKINETICS_C, UCF101_P, FRAMES)}
"""By name."""
