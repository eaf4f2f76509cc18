import pytest
import torch

from lerf_wild.inverse.primitive_decoding import Predictions
from lerf_wild.inverse.primitive_inference import AirModel, describe, infer, load_air
from lerf_wild.inverse.primitive_metrics import set_metrics
from lerf_wild.inverse.primitive_network import NetworkSpec, PrimitiveNetwork
from lerf_wild.inverse.primitive_refine import (
    RefineSpec,
    levenberg_marquardt,
    rays_near_objects,
    refine,
    rotation_vector_to_matrix,
)
from lerf_wild.inverse.primitive_setups import PERSPECTIVE, REFERENCE
from lerf_wild.inverse.primitive_starts import least_explained, other_start, promising_start
from lerf_wild.render.primitive_scenes import PrimitiveScenes
from lerf_wild.render.primitives_soft import hard_image

SPEC = RefineSpec(starts=3)
TINY = NetworkSpec(stem=8, fine=8, coarse=8, token=16, fine_blocks=1, coarse_blocks=1, heads=2)


def drawn(setup=REFERENCE, count=12, seed=20_020):
    return setup.draw(count, torch.Generator().manual_seed(seed))


def disturbed(scenes, move=0.05, turn=0.12, seed=1):
    generator = torch.Generator().manual_seed(seed)
    positions = scenes.positions_BK3 + move * torch.randn(
        scenes.positions_BK3.shape, generator=generator
    )
    vectors = turn * torch.randn(scenes.positions_BK3.shape, generator=generator)
    rotations = rotation_vector_to_matrix(vectors) @ scenes.rotations_BK33
    return PrimitiveScenes(scenes.kinds_BK, positions, rotations)


def beliefs_of(scenes):
    """Predictions that believe exactly in the given scenes."""
    present = (scenes.kinds_BK >= 0).float()
    kinds = scenes.kinds_BK.clamp(min=0)
    return Predictions(
        scenes,
        0.98 * present + 0.01,
        0.02 / 6 + 0.98 * torch.nn.functional.one_hot(kinds, 6).float(),
        scenes.rotations_BK33[:, :, None].expand(-1, -1, 6, 3, 3).contiguous(),
        torch.zeros(*kinds.shape, 4),
    )


def unexplained(scenes, images):
    return (hard_image(scenes, REFERENCE.view) - images).abs().sum()


def median_depth_error(scenes, truth):
    """A covered object's depth may go astray, which is why the mean won't do."""
    error = (scenes.positions_BK3 - truth.positions_BK3)[..., 2].abs()
    return float(error[truth.kinds_BK >= 0].median())


@pytest.mark.parametrize("setup", [REFERENCE, PERSPECTIVE], ids=lambda s: s.name)
def test_disturbed_scenes_are_put_right(setup):
    images, truth = drawn(setup)
    start = disturbed(truth)
    generator = torch.Generator().manual_seed(0)
    anchor = start.positions_BK3[..., 2]
    final = levenberg_marquardt(images, start, anchor, setup.view, SPEC, generator)
    before, after = set_metrics(start, truth), set_metrics(final, truth)
    assert after["x_mae"] < 0.4 * before["x_mae"]
    assert after["cube_rotation_deg"] < 0.5 * before["cube_rotation_deg"]
    if setup.view.camera.perspective:
        assert median_depth_error(final, truth) < 0.8 * median_depth_error(start, truth)


def test_a_missing_object_is_found():
    images, truth = drawn(count=16, seed=20_021)
    kinds = truth.kinds_BK.clone()
    kinds[truth.counts_B > 1, 0] = -1
    start = PrimitiveScenes(kinds, truth.positions_BK3, truth.rotations_BK33)
    spec = RefineSpec(starts=10)
    final = refine(images, beliefs_of(start), REFERENCE.view, spec)
    exact = (final.scenes.counts_B == truth.counts_B).double().mean()
    assert exact > (start.counts_B == truth.counts_B).double().mean()


def test_refinement_never_makes_an_image_worse_explained():
    images, truth = drawn(seed=20_022)
    start = beliefs_of(disturbed(truth, 0.2, 0.5))
    once = refine(images, start, REFERENCE.view, RefineSpec(starts=0))
    more = refine(images, start, REFERENCE.view, RefineSpec(starts=4))
    price = SPEC.object_price
    worth = [r.error_B + price * r.scenes.counts_B for r in (once, more)]
    assert (worth[1] <= worth[0] + 1e-4).all()


def test_refinement_is_deterministic():
    images, truth = drawn(count=4)
    start = beliefs_of(disturbed(truth))
    first, second = (refine(images, start, REFERENCE.view, SPEC) for _ in range(2))
    assert torch.equal(first.scenes.positions_BK3, second.scenes.positions_BK3)


def test_rays_are_near_objects():
    _, truth = drawn()
    rays = rays_near_objects(truth[:1], REFERENCE.view, 100, torch.Generator().manual_seed(0))
    centres = REFERENCE.view.camera.rays()[0][rays[0], :2]
    present = truth.positions_BK3[0, truth.kinds_BK[0] >= 0, :2]
    assert torch.cdist(centres, present).amin(1).max() < 0.8


def test_least_explained_place_is_the_missing_object():
    images, truth = drawn(count=8)
    nothing = PrimitiveScenes(
        torch.full_like(truth.kinds_BK, -1), truth.positions_BK3, truth.rotations_BK33
    )
    places = least_explained(images, nothing, REFERENCE.view)
    present = truth.positions_BK3.masked_fill((truth.kinds_BK < 0)[..., None], torch.inf)
    distance = (places[:, None, :2] - present[..., :2]).norm(dim=-1).amin(1)
    assert distance.max() < 0.5


def test_other_starts_are_valid_scenes():
    images, truth = drawn(count=32)
    generator = torch.Generator().manual_seed(0)
    beliefs = beliefs_of(truth)
    guess = other_start(images, truth, beliefs, REFERENCE.view, (0, 1, 2), generator)
    assert set(guess.kinds_BK.unique().tolist()) <= {-1, 0, 1, 2}
    determinant = torch.linalg.det(guess.rotations_BK33)
    assert torch.allclose(determinant, torch.ones_like(determinant), atol=1e-4)
    assert not torch.equal(guess.kinds_BK, truth.kinds_BK)


def test_promising_starts_are_of_other_kinds_or_number():
    images, truth = drawn(count=16)
    generator = torch.Generator().manual_seed(0)
    arguments = (beliefs_of(truth), REFERENCE.view, (0, 1, 2), generator)
    guess = promising_start(images, truth, *arguments)
    assert (guess.kinds_BK != truth.kinds_BK).any(1).all()
    plain = other_start(images, truth, *arguments)
    first, second = (float(unexplained(scenes, images)) for scenes in (guess, plain))
    assert first < 2.0 * second


def test_untrained_network_gives_valid_entries():
    torch.manual_seed(0)
    model = AirModel(PrimitiveNetwork(TINY).eval(), REFERENCE)
    images, _ = drawn(count=3)
    counted = []
    inferred = infer(model, images, RefineSpec(starts=1), counted.append, batch_size=2)
    assert counted == [2, 1]
    entry = describe(inferred, 0)
    assert entry["count"] == len(entry["objects"]) <= 3


def test_black_images_hold_nothing_once_refined():
    torch.manual_seed(0)
    model = AirModel(PrimitiveNetwork(TINY).eval(), REFERENCE)
    inferred = infer(model, torch.zeros(2, 64, 64), RefineSpec(starts=0))
    assert inferred.scenes.counts_B.tolist() == [0, 0]


def test_missing_weights_name_the_choices():
    from lerf_wild.errors import ModelFileError

    with pytest.raises(ModelFileError, match="perspective"):
        load_air("nowhere.safetensors")
