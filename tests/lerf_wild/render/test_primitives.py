import math

import numpy as np
import primitive_oracle as oracle
import pytest
import torch

from lerf_wild.errors import InputError
from lerf_wild.render.primitive_scenes import (
    CAPSULE,
    CUBE,
    CYLINDER,
    KINDS,
    SCALE,
    SPHERE,
    PrimitiveScenes,
    SceneSampler,
    concatenate,
    euler_to_rotation,
    rotation_to_euler,
    sort_by_x,
)
from lerf_wild.render.primitives import pixel_centres, render_orthographic

PIXEL = 3.2 / 63


def scenes(count=8, seed=20_000, **options):
    return SceneSampler(**options).sample(count, torch.Generator().manual_seed(seed))


def one(kind, position=(0.0, 0.0, 0.0), rotation=None):
    R = torch.eye(3) if rotation is None else rotation
    place = torch.tensor([[position]], dtype=torch.float32)
    return PrimitiveScenes(torch.tensor([[kind]]), place, R[None, None].float())


def test_agrees_with_marching_rays():
    size, drawn = 64, scenes(6)
    images = render_orthographic(drawn, size)
    centres = np.linspace(-1.6, 1.6, size)
    rng = np.random.default_rng(0)
    differing = total = 0
    for b in range(len(drawn)):
        objects = [
            (KINDS[k], p.numpy().astype(float), R.numpy().astype(float))
            for k, p, R in zip(drawn.kinds_BK[b], drawn.positions_BK3[b], drawn.rotations_BK33[b])
            if k >= 0
        ]
        ys, xs = np.nonzero(images[b].numpy())
        chosen = rng.choice(len(ys), 60, replace=False)
        pixels = [(ys[i], xs[i]) for i in chosen] + list(rng.integers(0, size, (20, 2)))
        down = np.array([0.0, 0.0, -1.0])
        rays = [(np.array([centres[c], -centres[r], 5.0]), down) for r, c in pixels]
        expected = oracle.render(objects, rays)
        actual = np.array([images[b, r, c] for r, c in pixels])
        differing += (np.abs(actual - expected) > 2e-3).sum()
        total += len(pixels)
    # The marcher may miss a sliver thinner than its step at a silhouette.
    assert differing <= 0.01 * total


def test_sphere_is_its_closed_form():
    image = render_orthographic(one(SPHERE, (0.13, -0.4, 0.1)))[0]
    x = pixel_centres(64)[None, :] - 0.13
    y = -pixel_centres(64)[:, None] + 0.4
    squared = SCALE**2 - x**2 - y**2
    expected = torch.where(
        squared >= 0, 0.15 + 0.85 * squared.clamp(min=0).sqrt() / SCALE, torch.zeros(())
    )
    assert torch.allclose(image, expected, atol=1e-5)


@pytest.mark.parametrize("tilt_deg", [0.0, 20.0, 50.0, 90.0])
def test_cylinder_silhouette_area(tilt_deg):
    """Area of a tilted cylinder's projection: rectangle 4 s^2 sin + ellipse pi s^2 cos."""
    tilt = math.radians(tilt_deg)
    R = euler_to_rotation(torch.tensor([0.3, 0.0, math.pi / 2 - tilt]))
    image = render_orthographic(one(CYLINDER, (0.02, 0.03, 0.0), R), 512)[0]
    area = (image > 0).sum() * (3.2 / 511) ** 2
    expected = 4 * SCALE**2 * math.sin(tilt) + math.pi * SCALE**2 * math.cos(tilt)
    assert float(area) == pytest.approx(expected, rel=0.01)


def test_cube_silhouette_area_and_face_shades():
    """A cube's projected area is 4 s^2 (|r_x| + |r_y| + |r_z|); each face has one shade."""
    R = euler_to_rotation(torch.tensor([0.4, 0.7, 1.1]))
    image = render_orthographic(one(CUBE, (0.1, 0.0, 0.0), R), 512)[0]
    facing = R[2].abs()
    area = (image > 0).sum() * (3.2 / 511) ** 2
    assert float(area) == pytest.approx(4 * SCALE**2 * float(facing.sum()), rel=0.01)
    shades = image[image > 0].unique()
    assert torch.allclose(shades, (0.15 + 0.85 * facing).sort().values, atol=1e-6)


def test_cube_seen_along_an_axis():
    image = render_orthographic(one(CUBE))[0]
    covered = pixel_centres(64).abs() <= SCALE
    assert torch.equal(image > 0, covered[None, :] & covered[:, None])
    assert torch.allclose(image[image > 0], torch.ones(()))


def test_nearer_object_hides_the_other_in_either_order():
    near, far = one(SPHERE, (0.0, 0.0, 0.3)), one(CUBE, (0.1, 0.0, -0.3))
    both = [
        PrimitiveScenes(*(torch.cat([getattr(s, name) for s in order], 1) for name in FIELDS))
        for order in ((near, far), (far, near))
    ]
    images = [render_orthographic(scene)[0] for scene in both]
    assert torch.equal(images[0], images[1])
    inside = render_orthographic(near)[0] > 0.5
    assert torch.equal(images[0][inside], render_orthographic(near)[0][inside])


FIELDS = ("kinds_BK", "positions_BK3", "rotations_BK33")


def test_image_moves_by_pixels_with_the_object():
    R = euler_to_rotation(torch.tensor([0.4, 0.7, 1.1]))
    first = render_orthographic(one(CUBE, (0.01, 0.01, 0.0), R))[0]
    second = render_orthographic(one(CUBE, (0.01 + 5 * PIXEL, 0.01 - 3 * PIXEL, 0.2), R))[0]
    assert (first.roll((3, 5), (0, 1)) - second).abs().gt(1e-3).sum() <= 2


@pytest.mark.parametrize("size", [1, 2, 17, 64, 200])
def test_any_size(size):
    images = render_orthographic(scenes(4), size)
    assert images.shape == (4, size, size)
    assert float(images.min()) >= 0 and float(images.max()) <= 1


def test_object_partly_outside_is_cut_at_the_border():
    inside = render_orthographic(one(SPHERE, (1.6 - 2 * PIXEL, 0.0, 0.0)))[0]
    assert inside[:, -1].max() > 0.9 and inside[:, 0].max() == 0


def test_empty_scene_is_black():
    drawn = scenes(5, empty_share=1.0)
    assert torch.equal(drawn.counts_B, torch.zeros(5, dtype=torch.long))
    assert render_orthographic(drawn).abs().max() == 0


def test_other_primitives_are_refused_with_a_remedy():
    with pytest.raises(InputError, match="render_rays"):
        render_orthographic(one(CAPSULE))


def test_sampler_is_deterministic_and_within_its_ranges():
    first, again, other = scenes(200), scenes(200), scenes(200, seed=3)
    for name in FIELDS:
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.positions_BK3, other.positions_BK3)
    assert first.positions_BK3.abs().amax((0, 1)).le(torch.tensor([0.9, 0.9, 0.3])).all()
    assert set(first.counts_B.tolist()) == {1, 2, 3}
    x = first.positions_BK3[..., 0].masked_fill(first.kinds_BK < 0, torch.inf)
    assert (x.diff(dim=1).nan_to_num(0) >= 0).all()


def test_sampler_needs_kinds():
    with pytest.raises(InputError):
        SceneSampler(kinds=())


def test_euler_round_trip():
    angles = torch.rand(50, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    angles = angles * torch.tensor([3.0, 1.5, 3.0])
    assert torch.allclose(rotation_to_euler(euler_to_rotation(angles)), angles)


def test_sorting_and_joining():
    drawn = scenes(10)
    shuffled = drawn[:, [2, 0, 1]]
    assert torch.equal(sort_by_x(shuffled).kinds_BK, drawn.kinds_BK)
    assert len(concatenate([drawn, drawn])) == 20
