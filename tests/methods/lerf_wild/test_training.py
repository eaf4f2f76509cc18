"""Training through nerfstudio's trainer on a CPU, and what it leaves on disk."""

from __future__ import annotations

import math

import pytest
import torch

from lerf_wild.errors import DatasetError, TrainingError


def checkpoint_of(trainer):
    files = sorted(trainer.checkpoint_dir.glob("*"))
    assert [file.suffix for file in files] == [".ckpt"]
    return files[0]


def test_checkpoint_loads_without_unpickling_code(trained):
    state = torch.load(checkpoint_of(trained), weights_only=True)
    assert state["step"] == 5


def test_checkpoint_holds_no_encoder(trained):
    state = torch.load(checkpoint_of(trained), weights_only=True)["pipeline"]
    model = trained.pipeline.model
    expected = sum(v.numel() for v in model.state_dict().values())
    expected += sum(v.numel() for v in trained.pipeline.datamanager.state_dict().values())
    assert sum(v.numel() for v in state.values()) == expected
    assert not [name for name in state if "lpips" in name or "encoder." in name.split("mlp_")[0]]


def test_losses_are_finite_and_named(trained):
    _, losses, metrics = trained.pipeline.get_train_loss_dict(100)
    assert {"rgb_loss", "interlevel_loss", "distortion_loss", "clip_loss", "dino_loss"} <= set(
        losses
    )
    assert all(math.isfinite(float(loss)) for loss in losses.values())
    assert metrics["psnr"] > 0


def test_language_does_not_change_geometry(trained):
    pipeline = trained.pipeline
    trained.optimizers.zero_grad_all()
    _, losses, _ = pipeline.get_train_loss_dict(101)
    (losses["clip_loss"] + losses["dino_loss"]).backward()
    touched = {
        name.split(".")[0]
        for name, p in pipeline.model.named_parameters()
        if p.grad is not None and bool((p.grad != 0).any())
    }
    assert touched == {"language"}


def test_step_is_the_same_whenever_it_runs(trained):
    first = trained.pipeline.get_train_loss_dict(7)[1]
    trained.pipeline.get_train_loss_dict(8)
    again = trained.pipeline.get_train_loss_dict(7)[1]
    assert float(first["clip_loss"]) == float(again["clip_loss"])
    assert float(first["rgb_loss"]) == float(again["rgb_loss"])


def test_resume_gives_the_losses_of_an_unbroken_run(scene, make_config, run_training):
    seen: dict[str, list[tuple[int, float]]] = {"whole": [], "resumed": []}

    def train(kind, config):
        torch.manual_seed(config.machine.seed)
        trainer = config.setup(local_rank=0, world_size=1)
        trainer.setup()
        real = trainer.pipeline.get_train_loss_dict

        def spy(step):
            result = real(step)
            seen[kind].append((step, float(sum(result[1].values()))))
            return result

        trainer.pipeline.get_train_loss_dict = spy
        trainer.train()
        return trainer

    whole = make_config(scene, 16)
    whole.timestamp = "whole"
    train("whole", whole)
    half = make_config(scene, 12)
    half.timestamp = "half"
    first = run_training(half)
    rest = make_config(scene, 4)
    rest.timestamp = "rest"
    rest.load_dir = first.checkpoint_dir
    train("resumed", rest)
    assert [step for step, _ in seen["resumed"]] == [12, 13, 14, 15]
    assert dict(seen["resumed"]) == pytest.approx(dict(seen["whole"][12:]))


@pytest.mark.parametrize("name", ["rgb_loss", "clip_loss"])
def test_loss_that_is_not_finite_stops_before_the_optimiser(trained, monkeypatch, name):
    model = trained.pipeline.model
    before = [p.detach().clone() for p in model.parameters()]
    real = model.get_loss_dict

    def broken(*args, **kwargs):
        losses = real(*args, **kwargs)
        losses[name] = losses[name] * float("nan")
        return losses

    monkeypatch.setattr(model, "get_loss_dict", broken)
    with pytest.raises(TrainingError, match=f"Step 9: {name}"):
        trained.train_iteration(9)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters()))


def test_config_of_the_run_names_what_was_chosen(trained):
    text = (trained.base_dir / "config.yml").read_text()
    assert "encoder_identity: colours@0" in text
    assert "clip_dim: 16" in text
    assert "device_type: cpu" in text


def test_masked_pixels_are_never_drawn(scene, tmp_path, make_config):
    import json

    import numpy as np
    import stand_in
    from PIL import Image

    folder = tmp_path / "masked"
    description = stand_in.write_scene(folder)
    (folder / "masks").mkdir()
    mask = np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    for index, frame in enumerate(description["frames"]):
        frame["mask_path"] = f"masks/{index}.png"
        Image.fromarray(mask).save(folder / frame["mask_path"])
    (folder / "transforms.json").write_text(json.dumps(description))
    config = make_config(folder)
    pipeline = config.pipeline.setup(device="cpu", test_mode="val")
    for step in range(3):
        _, batch = pipeline.datamanager.next_train(step)
        assert int(batch["indices"][:, 2].max()) < 16


def test_truncated_image_is_a_dataset_error(tmp_path, make_config):
    import stand_in

    folder = tmp_path / "cut"
    stand_in.write_scene(folder)
    path = folder / "images" / "frame_00002.png"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DatasetError, match="frame_00002"):
        make_config(folder).pipeline.setup(device="cpu", test_mode="val")


def test_cpu_estimate_names_the_laptop_size():
    from lerf_wild.methods.lerf_wild.config import lerf_wild, lerf_wild_tiny
    from lerf_wild.methods.lerf_wild.trainer import cpu_estimate

    assert "lerf-wild-tiny" in cpu_estimate(lerf_wild.config)
    assert "minutes" in cpu_estimate(lerf_wild_tiny.config)


def test_failed_save_leaves_nothing_among_the_checkpoints(trained, monkeypatch):
    before = sorted(trained.checkpoint_dir.iterdir())

    def full_disk(state, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        trained.save_checkpoint(99)
    assert sorted(trained.checkpoint_dir.iterdir()) == before


def test_save_sweeps_up_after_a_killed_one(trained):
    stray = trained.base_dir / ".step-000000001.ckpt.0123.tmp"
    stray.write_bytes(b"half")
    trained.save_checkpoint(trained.step)
    assert not stray.exists()
