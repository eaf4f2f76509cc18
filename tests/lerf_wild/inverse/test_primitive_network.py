import pytest
import torch

from lerf_wild.errors import ModelFileError
from lerf_wild.inverse.primitive_decoding import decode, join, predict
from lerf_wild.inverse.primitive_losses import LossWeights, dense_targets, primitive_losses
from lerf_wild.inverse.primitive_metrics import (
    confusion,
    euler_in_range,
    reference_metrics,
    set_metrics,
)
from lerf_wild.inverse.primitive_network import (
    FIELDS,
    GRID,
    NetworkSpec,
    PrimitiveNetwork,
    token_centres,
)
from lerf_wild.inverse.primitive_setups import FREE_CAMERA, PERSPECTIVE, REFERENCE, find_setup
from lerf_wild.inverse.primitive_training import (
    PrimitiveTrainer,
    TrainingSpec,
    learning_rate,
    run,
)
from lerf_wild.inverse.primitive_weights import load_network, save_network
from lerf_wild.inverse.symmetry import cube_target, line_target
from lerf_wild.render.primitive_scenes import PrimitiveScenes, SceneSampler, euler_to_rotation
from lerf_wild.render.primitives import render_orthographic

TINY = NetworkSpec(stem=8, fine=8, coarse=8, token=16, fine_blocks=1, coarse_blocks=1, heads=2)


def scenes(count=6, seed=20_010, **options):
    return SceneSampler(**options).sample(count, torch.Generator().manual_seed(seed))


def perfect_fields(truth, queries=6):
    """Fields that say exactly what is there, in shuffled order."""
    B, K = truth.kinds_BK.shape
    fields = {name: torch.zeros(B, queries, size).squeeze(-1) for name, size in FIELDS.items()}
    fields["presence"][:] = -12.0
    for k in range(K):
        q = (2 * k + 1) % queries
        present = truth.kinds_BK[:, k] >= 0
        fields["presence"][:, q] = torch.where(present, 12.0, -12.0)
        kinds = truth.kinds_BK[:, k].clamp(min=0)
        fields["kind"][:, q] = 20.0 * torch.nn.functional.one_hot(kinds, 6)
        fields["lateral"][:, q] = truth.positions_BK3[:, k, :2]
        fields["depth"][:, q] = truth.positions_BK3[:, k, 2]
        fields["cube"][:, q] = cube_target(truth.rotations_BK33[:, k])
        fields["line"][:, q] = line_target(truth.rotations_BK33[:, k])
        fields["arrow"][:, q] = truth.rotations_BK33[:, k, :, 1]
    return fields


def test_outputs_have_their_shapes():
    queries, dense = PrimitiveNetwork(TINY).eval()(torch.rand(2, 64, 64))
    assert dense["presence"].shape == (2, GRID * GRID)
    for name, size in FIELDS.items():
        assert queries[name].shape == ((2, 6, size) if size > 1 else (2, 6))


def test_token_centres_cover_the_picture():
    centres = token_centres()
    assert torch.allclose(centres[0], -centres[-1])
    assert centres[0, 0] < -1.4 and centres[0, 1] > 1.4


def test_order_of_the_truth_does_not_matter():
    torch.manual_seed(0)
    network, truth = PrimitiveNetwork(TINY).eval(), scenes()
    queries, dense = network(render_orthographic(truth))
    losses = primitive_losses(queries, dense, truth, LossWeights())
    shuffled = primitive_losses(queries, dense, truth[:, [2, 0, 1]], LossWeights())
    for name, value in losses.items():
        assert torch.allclose(value, shuffled[name], atol=1e-5), name


def test_perfect_fields_decode_to_the_truth():
    truth = scenes(20)
    predictions = decode(perfect_fields(truth), 3)
    figures = set_metrics(predictions.scenes, truth)
    assert figures["count_exact"] == figures["type_accuracy"] == 1.0
    assert max(figures[f"{axis}_mae"] for axis in "xyz") < 1e-6
    assert figures["cube_rotation_mean_deg"] < 0.1 and figures["cylinder_axis_mean_deg"] < 0.1
    matrix = confusion(predictions.scenes, truth)
    assert matrix.sum() == matrix.diagonal().sum() == (truth.kinds_BK >= 0).sum()


def test_perfect_fields_have_least_losses():
    truth = scenes(10)
    dense = {
        name: v.repeat(1, 43, *[1] * (v.ndim - 2))[:, :256]
        for name, v in perfect_fields(truth).items()
    }
    losses = primitive_losses(perfect_fields(truth), dense, truth, LossWeights())
    assert all(losses[name] < 1e-3 for name in ("presence", "kind", "lateral", "depth", "rotation"))


def test_scenes_without_objects_give_finite_losses():
    truth = scenes(3, empty_share=1.0)
    queries, dense = PrimitiveNetwork(TINY)(render_orthographic(truth))
    losses = primitive_losses(queries, dense, truth, LossWeights())
    assert all(torch.isfinite(value) for value in losses.values())


def test_dense_targets_mark_the_cell_of_each_centre():
    truth = scenes(30)
    near, nearest, heat = dense_targets(truth, GRID * GRID)
    peaks = (heat == 1).sum(1)
    assert (peaks <= truth.counts_B).all() and (peaks >= 1).all()
    row, token = torch.nonzero(near, as_tuple=True)
    places = truth.positions_BK3[row, nearest[row, token], :2]
    assert (places - token_centres()[token]).norm(dim=-1).max() < 0.26


def test_reference_metrics_of_the_truth():
    truth = scenes(200)
    figures = reference_metrics(truth, truth)
    assert figures["reference_type_accuracy"] == figures["reference_presence_accuracy"] == 1.0
    assert figures["reference_x_mae"] == 0 and figures["reference_rotation_z_rad"] < 1e-3


def test_euler_angles_return_to_their_range():
    generator = torch.Generator().manual_seed(3)
    angles = torch.pi * torch.rand(500, 3, generator=generator, dtype=torch.float64)
    back = euler_in_range(euler_to_rotation(angles))
    assert torch.allclose(back, angles, atol=1e-6)


def test_metrics_of_no_prediction():
    truth = scenes(4)
    nothing = PrimitiveScenes(
        torch.full_like(truth.kinds_BK, -1), truth.positions_BK3, truth.rotations_BK33
    )
    figures = set_metrics(nothing, truth)
    assert figures["count_exact"] == 0 and figures["pairs"] == 0
    assert reference_metrics(nothing, truth)["reference_type_accuracy"] == 0


def test_weights_round_trip(tmp_path):
    network = PrimitiveNetwork(TINY).eval()
    save_network(tmp_path / "w.safetensors", network, {"setup": "perspective"})
    loaded, metadata = load_network(tmp_path / "w.safetensors")
    assert metadata["setup"] == "perspective" and loaded.spec == TINY
    images = torch.rand(2, 64, 64)
    first, second = predict(network, images), predict(loaded, images)
    assert torch.allclose(first.confidence_BQ, second.confidence_BQ, atol=2e-2)
    assert len(join([first, second]).scenes) == 4


@pytest.mark.parametrize("content", [b"", b"not weights", b"\xff" * 200])
def test_broken_weights_are_one_line(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"w\.safetensors") as caught:
        load_network(path)
    assert "\n" not in str(caught.value)


def test_weights_with_nan_are_refused(tmp_path):
    network = PrimitiveNetwork(TINY)
    network.places.data[0, 0] = torch.nan
    save_network(tmp_path / "w.safetensors", network, {})
    with pytest.raises(ModelFileError, match="finite"):
        load_network(tmp_path / "w.safetensors")


def test_weights_of_another_size_are_refused(tmp_path):
    network = PrimitiveNetwork(TINY)
    network.spec = NetworkSpec()
    save_network(tmp_path / "w.safetensors", network, {})
    with pytest.raises(ModelFileError, match="not the weights"):
        load_network(tmp_path / "w.safetensors")


@pytest.mark.parametrize("setup", [REFERENCE, PERSPECTIVE, FREE_CAMERA], ids=lambda s: s.name)
def test_picture_coordinates_round_trip(setup):
    images, drawn = setup.draw(6, torch.Generator().manual_seed(20_011))
    assert images.shape == (6, 64, 64)
    back = setup.to_world(setup.to_picture(drawn))
    assert torch.allclose(back.positions_BK3, drawn.positions_BK3, atol=1e-5)


def test_picture_coordinates_are_where_objects_appear():
    """A single sphere's pixels are centred where `to_picture` says, in every set-up."""
    for setup in (REFERENCE, PERSPECTIVE):
        sphere = PrimitiveScenes(
            torch.tensor([[0]]), torch.tensor([[[0.4, -0.3, 0.25]]]), torch.eye(3)[None, None]
        )
        from lerf_wild.render.primitives_soft import hard_image

        covered = (hard_image(sphere, setup.view)[0] > 0).float()
        along = torch.linspace(-1.6, 1.6, 64)
        x = (covered.sum(0) * along).sum() / covered.sum()
        y = (covered.sum(1) * -along).sum() / covered.sum()
        place = setup.to_picture(sphere).positions_BK3[0, 0]
        assert torch.allclose(torch.stack([x, y]), place[:2], atol=0.03)


def test_unknown_setup():
    from lerf_wild.errors import InputError

    with pytest.raises(InputError, match="reference"):
        find_setup("nonsense")


def spec(steps, **options):
    return TrainingSpec(steps=steps, batch_size=4, warmup=2, network=TINY, **options)


def batches(count, generator):
    return REFERENCE.draw(count, generator)


def test_training_resumes_where_it_stopped(tmp_path):
    whole = PrimitiveTrainer(spec(6), batches)
    losses = [whole.train_step() for _ in range(6)]
    first = PrimitiveTrainer(spec(6), batches)
    for _ in range(3):
        first.train_step()
    first.save(tmp_path / "c.safetensors")
    second = PrimitiveTrainer(spec(6), batches)
    second.load(tmp_path / "c.safetensors")
    for expected in losses[3:]:
        resumed = second.train_step()
        assert resumed == pytest.approx(expected, rel=2e-2, abs=2e-2)
    assert second.step == 6


def test_training_learns_and_writes_its_log(tmp_path):
    trainer = PrimitiveTrainer(spec(30, learning_rate=5e-3, low_precision=False), batches)
    run(trainer, tmp_path, log_every=10)
    import json

    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20, 30]
    assert lines[-1]["presence"] < lines[0]["presence"]
    assert (tmp_path / "checkpoint.safetensors").exists()


def test_learning_rate_rises_stays_and_falls():
    plan = TrainingSpec(steps=100, warmup=10, decay_share=0.4, learning_rate=1.0)
    rates = [learning_rate(step, plan) for step in range(101)]
    assert rates[0] == 0.1 and rates[10] == rates[59] == 1.0
    assert rates[80] == pytest.approx(0.5) and rates[100] == 0.0
