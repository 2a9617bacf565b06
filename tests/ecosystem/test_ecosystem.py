"""Models of other libraries, with random weights, behave as this library's own: loaded, tested, attacked, trained."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from torchvision import models as torchvision_models

import vidrobust as vr
from vidrobust.errors import InputError, VidrobustWarning
from vidrobust.models import Adapted, adapt, build, self_test
from vidrobust.models.libraries.hugging_face import normalisation

pytestmark = pytest.mark.filterwarnings("default")  # others' warnings are theirs

EPS = 8 / 255
PGD = vr.PGD(vr.Threat(vr.Linf(), EPS), 2 / 255, 2, keep="last")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Random weights, but the same in every run."""
    torch.manual_seed(0)


def clips(count: int, frames: int, size: int) -> Tensor:
    return torch.rand(count, 3, frames, size, size, generator=torch.Generator().manual_seed(0))


def assert_attacked(model: nn.Module, x: Tensor) -> None:
    """Two steps of PGD move the pixels, stay in the ball, and do not lower the loss."""
    labels = model(x).argmax(1)
    clean = nn.functional.cross_entropy(model(x), labels, reduction="none")
    result = PGD(model, x, labels)
    assert 0 < (result.clips - x).abs().max() <= EPS
    assert (result.loss >= clean.detach() - 1e-5).all()


# ── torchvision


@pytest.mark.parametrize(("name", "mean"), [("r3d_18", 0.43216), ("mc3_18", 0.43216), ("swin3d_t", 0.485)])
def test_torchvision(name: str, mean: float) -> None:
    model = build(f"torchvision:{name}", 5)
    x = clips(2, 4, 32)
    assert isinstance(model, Adapted)
    assert model.pixels.mean[0] == mean
    shown = torchvision_models.get_model_weights(name).DEFAULT.transforms()
    wanted = (x - torch.tensor(shown.mean).view(1, 3, 1, 1, 1)) / torch.tensor(shown.std).view(1, 3, 1, 1, 1)
    with torch.no_grad():
        assert torch.allclose(model.eval()(x), model.model(wanted), atol=1e-5)
    assert self_test(model, frames=4, size=32) == []
    assert_attacked(model, x)


@pytest.mark.parametrize(
    ("name", "size", "frames"), [("mvit_v1_b", 224, 16), ("mvit_v2_s", 224, 16), ("s3d", 224, None)]
)
def test_torchvision_models_of_one_size_resize_inside(name: str, size: int, frames: int | None) -> None:
    with torch.device("meta"):
        model = build(f"torchvision:{name}", 5)
    assert isinstance(model, Adapted)
    assert (model.pixels.size, model.pixels.frames) == ((size, size), frames)
    assert model.to("meta")(torch.empty(2, 3, 20, 40, 30, device="meta")).shape == (2, 5)


def test_weights_of_torchvision_load_with_their_own_number_of_classes(tmp_path: Path) -> None:
    state = torchvision_models.video.r3d_18(num_classes=7).state_dict()
    torch.save(state, tmp_path / "r3d.pth")
    model, x = vr.load_model("torchvision:r3d_18", weights=tmp_path / "r3d.pth"), clips(1, 4, 32)
    assert model(x).shape == (1, 7)
    with pytest.raises(InputError, match=r"fc\.weight.* 7×512.*--new-head"):
        vr.load_model("torchvision:r3d_18", weights=tmp_path / "r3d.pth", classes=3)
    with pytest.warns(VidrobustWarning, match="replaced"):
        model = vr.load_model("torchvision:r3d_18", weights=tmp_path / "r3d.pth", classes=3, new_head=True)
    assert model(x).shape == (1, 3)
    with pytest.raises(InputError, match=r"stem\.0\.weight is 64×3×3×7×7 in the file, 45×3×1×7×7"):
        vr.load_model("torchvision:r2plus1d_18", weights=tmp_path / "r3d.pth")


def test_names_that_torchvision_does_not_know() -> None:
    with pytest.raises(InputError, match="r3d_18"):
        build("torchvision:r3d_99", 5)
    with pytest.raises(InputError, match="KINETICS400_V1"):
        vr.load_model("torchvision:r3d_18", weights="IMAGENET")


# ── transformers

SMALL: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "num_labels": 5,
}
SHAPE: dict[str, Any] = {"image_size": 32, "patch_size": 8, "num_frames": 4}
CROP: dict[str, Any] = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}


def video_mae(folder: Path) -> Any:
    config = transformers.VideoMAEConfig(**SMALL, **SHAPE)
    return store(
        transformers.VideoMAEForVideoClassification(config), transformers.VideoMAEImageProcessor(**CROP), folder
    )


def timesformer(folder: Path) -> Any:
    config = transformers.TimesformerConfig(**SMALL, **SHAPE)
    processor = transformers.VideoMAEImageProcessor(**CROP, image_mean=[0.45] * 3, image_std=[0.225] * 3)
    return store(transformers.TimesformerForVideoClassification(config), processor, folder)


def vivit(folder: Path) -> Any:
    config = transformers.VivitConfig(**SMALL, image_size=32, tubelet_size=[2, 8, 8], num_frames=4)
    return store(transformers.VivitForVideoClassification(config), transformers.VivitImageProcessor(**CROP), folder)


def vjepa2(folder: Path) -> Any:
    shape = {"crop_size": 32, "patch_size": 8, "frames_per_clip": 4, "hidden_size": 24, "num_pooler_layers": 1}
    shape |= {"pred_hidden_size": 24, "pred_num_hidden_layers": 1, "pred_num_attention_heads": 2, "num_labels": 5}
    config = transformers.VJEPA2Config(**shape, num_hidden_layers=2, num_attention_heads=2)
    processor = transformers.VJEPA2VideoProcessor(crop_size=32, do_resize=False)
    return store(transformers.VJEPA2ForVideoClassification(config), processor, folder)


def store(model: Any, processor: Any, folder: Path) -> Any:
    model.eval().save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


MAKERS = [video_mae, timesformer, vivit, vjepa2]


@pytest.mark.parametrize("make", MAKERS)
def test_a_checkpoint_of_transformers_sees_what_its_own_processor_shows(make: Any, tmp_path: Path) -> None:
    theirs, processor = make(tmp_path)
    frames = torch.randint(0, 256, (4, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    shown = processor(list(frames.numpy()), return_tensors="pt")
    model, x = vr.load_model(f"hf:{tmp_path}"), frames.permute(3, 0, 1, 2)[None].float() / 255
    with torch.no_grad():
        assert torch.allclose(model(x), theirs(**shown).logits, atol=1e-5)
    assert isinstance(model, Adapted)
    assert torch.allclose(model.preprocess(x), next(iter(shown.values())), atol=1e-5)
    assert self_test(model, frames=9, size=20) == []
    assert_attacked(model, clips(2, 9, 20))


def test_heads_and_constants_of_transformers(tmp_path: Path) -> None:
    video_mae(tmp_path)
    with pytest.raises(InputError, match=r"5 classes .* 3 .*--new-head"):
        vr.load_model(f"hf:{tmp_path}", classes=3)
    with pytest.warns(VidrobustWarning, match="replaced"):
        assert vr.load_model(f"hf:{tmp_path}", classes=3, new_head=True)(clips(1, 4, 32)).shape == (1, 3)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(InputError, match="how its pixels are normalised"):
        vr.load_model(f"hf:{tmp_path}")
    assert vr.load_model(f"hf:{tmp_path}(mean=[0.5,0.5,0.5],std=[0.5,0.5,0.5])")(clips(1, 4, 32)).shape == (1, 5)
    with pytest.raises(InputError, match="no checkpoint"):
        vr.load_model("hf:nobody/nothing")


def test_a_model_of_transformers_is_adapted_as_an_object() -> None:
    theirs = transformers.VideoMAEForVideoClassification(transformers.VideoMAEConfig(**SMALL, **SHAPE)).eval()
    with pytest.warns(VidrobustWarning, match="mean"):
        adapt(theirs)
    model = adapt(theirs, mean=[0.5] * 3, std=[0.5] * 3, size=32, frames=4)
    assert model.pixels.layout == "BTCHW"
    assert self_test(model) == []
    (wrong,) = self_test(adapt(theirs, layout="BCTHW", mean=[0.5] * 3, std=[0.5] * 3, size=32, frames=4))
    assert (wrong.name, "BTCHW" in wrong.message) == ("layout", True)


def test_a_processor_that_does_not_name_its_constants() -> None:
    with pytest.raises(InputError, match="does not name"):
        normalisation({"do_normalize": True}, "some")
    assert normalisation({"do_normalize": False, "do_rescale": False}, "some")["scale"] == 255


# ── pytorchvideo


@pytest.mark.parametrize(
    ("spec", "frames", "size"),
    [
        ("pytorchvideo:slow_r50(frames=4,size=32)", 4, 32),
        ("pytorchvideo:slowfast_r50(head_pool_kernel_sizes=[[2,1,1],[8,1,1]],frames=8,size=32)", 8, 32),
        ("pytorchvideo:x3d_xs(size=64)", 4, 64),
    ],
)
def test_pytorchvideo(spec: str, frames: int, size: int) -> None:
    model = build(spec, 5).eval()
    for part in model.modules():
        if isinstance(part, nn.AvgPool3d) and min(part.kernel_size[1:]) > 4:  # of the head, made for 160 or 224 pixels
            part.kernel_size = (1, 1, 1)
    assert isinstance(model, Adapted)
    assert (model.pixels.mean, model.expects) == ((0.45,), (frames, size))
    x = clips(2, frames, size)
    logits = model(x)
    assert logits.shape == (2, 5)
    assert not torch.allclose(logits.sum(1), torch.ones(2), atol=1e-3)  # no softmax at the end
    assert_attacked(model, x)


def test_slowfast_shows_its_pathways_what_pytorchvideo_shows_them() -> None:
    from vidrobust.models.libraries.pytorchvideo_models import TwoPathways

    class Shown(nn.Module):
        def forward(self, pathways: list[Tensor]) -> Tensor:
            return torch.cat([pathway[:, 0, :, 0, 0] for pathway in pathways], 1)

    x = clips(2, 32, 2)
    slow = x[:, :, torch.linspace(0, 31, 8).long()]
    assert torch.equal(TwoPathways(Shown())(x), torch.cat([slow[:, 0, :, 0, 0], x[:, 0, :, 0, 0]], 1))


def test_names_that_pytorchvideo_does_not_know() -> None:
    with pytest.raises(InputError, match="slow_r50"):
        build("pytorchvideo:slow_r51", 5)


# ── exported programs


def test_an_exported_program_of_torchvision_has_gradients(tmp_path: Path) -> None:
    model, x = build("torchvision:r3d_18", 5).eval(), clips(2, 4, 32)
    torch.export.save(torch.export.export(model, (x,)), tmp_path / "r3d.pt2")
    program = vr.load_model(tmp_path / "r3d.pt2")
    assert torch.allclose(program(clips(3, 4, 32)), model(clips(3, 4, 32)), atol=1e-5)
    assert_attacked(program, x)


@pytest.mark.parametrize("free", [False, True])
def test_an_onnx_file_is_a_black_box(free: bool, tmp_path: Path) -> None:
    model, x, path = build("r3d-small", 5).eval(), clips(3, 8, 24), tmp_path / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shapes = {"dynamic_shapes": ({0: "batch"},)} if free else {}
        torch.onnx.export(model, (x[:2],), path, dynamo=True, verbose=False, **shapes)
    program, labels = vr.load_model(path), model(x).argmax(1)
    assert (program.classes, program.expects) == (5, (8, 24))
    assert torch.allclose(program(x), model(x), atol=1e-5)
    (finding,) = self_test(program)
    assert (finding.name, finding.error) == ("black box", False)
    for attack in (PGD, vr.APGD(vr.Threat(vr.Linf(), EPS), steps=3), vr.FGSM(vr.Threat(vr.Linf(), EPS))):
        with pytest.raises(InputError, match=r"no gradient.*Square.*RayS"):
            attack(program, x, labels)
    result = vr.Square(vr.Threat(vr.Linf(), EPS), queries=5)(program, x, labels)
    assert 0 < (result.clips - x).abs().max() <= EPS
    assert vr.RayS(vr.Threat(vr.Linf(), EPS), queries=5)(program, x, labels).clips.shape == x.shape
    with pytest.raises(InputError, match="its own weights"):
        vr.load_model(path, weights=path)
    with pytest.raises(InputError, match="gives 5 classes, the data has 3"):
        vr.load_model(path, classes=3)


# ── the command line


def vidrobust(*arguments: object) -> str:
    command = [sys.executable, "-m", "vidrobust", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250)
    assert "Traceback" not in done.stderr, done.stderr
    return f"{done.returncode} {done.stdout} {done.stderr}"


def test_a_model_of_transformers_trains_and_is_found_again(small_motion: Path, tmp_path: Path) -> None:
    timesformer(tmp_path / "theirs")
    few = ("--clips.train", 20, "--clips.val", 10, "--clips.test", 10)
    told = vidrobust(
        "train", "--model", f"hf:{tmp_path / 'theirs'}", "--new-head", "--data", small_motion, "--epochs", 1, *few,
        "--batch", 8, "--out", tmp_path / "run",
    )  # fmt: skip
    assert told.startswith("0"), told
    assert "replaced" in told
    told = vidrobust("evaluate", tmp_path / "run", "--attack", "PGD(ε=8,α=2,i=2)", "--clips", 5)
    assert told.startswith("0"), told
    assert "of 5" in told


def test_an_onnx_file_is_judged_by_black_boxes_alone(small_motion: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = build("r3d-small", 10).eval()
        torch.onnx.export(model, (clips(2, 8, 24),), tmp_path / "m.onnx", dynamo=True, verbose=False)
    judged = ("evaluate", "--model", tmp_path / "m.onnx", "--data", small_motion, "--clips", 4, "--attack")
    told = vidrobust(*judged, "Square(ε=8,queries=3)")
    assert told.startswith("0") and "of 4" in told and "black box" in told, told
    told = vidrobust(*judged, "PGD(ε=8,α=2,i=2)")
    assert told.startswith("1") and "RayS" in told, told
