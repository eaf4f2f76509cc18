import pytest
import torch

from lerf_wild.render.primitive_margins import outline_margin
from lerf_wild.render.primitive_rays import (
    PERSPECTIVE_CAMERA,
    SIDE_LIGHT,
    Camera,
    local_hit,
    render_rays,
)
from lerf_wild.render.primitive_scenes import KINDS, PrimitiveScenes, SceneSampler
from lerf_wild.render.primitives_soft import SoftView, image_and_jacobian, render_soft

ALL = tuple(range(len(KINDS)))
SMALL = Camera(size=24)
VIEWS = {
    "reference": SoftView(SMALL, softness=0.06),
    "perspective": SoftView(
        Camera((0.0, 0.0, 3.2), extent=1.8, perspective=True, size=24), SIDE_LIGHT, softness=0.06
    ),
}


def scenes(count=6, seed=20_001, kinds=ALL):
    drawn = SceneSampler(kinds=kinds).sample(count, torch.Generator().manual_seed(seed))
    return drawn.to(torch.float64)


def turned(R, vector):
    """exp of the rotation vector, applied from the left."""
    zero = torch.zeros((), dtype=vector.dtype)
    x, y, z = vector.unbind()
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).view(3, 3)
    return torch.linalg.matrix_exp(skew) @ R


@pytest.mark.parametrize("kind", ALL, ids=KINDS)
def test_margin_is_positive_exactly_where_the_ray_hits(kind):
    generator = torch.Generator().manual_seed(kind)
    o = 3.0 * torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    aim = 0.9 * torch.randn(20_000, 3, generator=generator, dtype=torch.float64)
    d = torch.nn.functional.normalize(aim - o, dim=-1)
    margin, (_, _, hit) = outline_margin(kind, o, d), local_hit(kind, o, d)
    clear = margin.abs() > 1e-4
    assert clear.double().mean() > 0.99
    assert torch.equal(margin[clear] > 0, hit[clear])
    assert 0.05 < hit.double().mean() < 0.95


@pytest.mark.parametrize("kind", ALL, ids=KINDS)
def test_margin_is_a_distance(kind):
    """Moving a ray sideways changes the margin by no more than the way moved."""
    generator = torch.Generator().manual_seed(kind)
    o = torch.randn(5_000, 3, generator=generator, dtype=torch.float64)
    d = torch.nn.functional.normalize(torch.randn(5_000, 3, generator=generator).double(), dim=-1)
    step = 1e-4 * torch.nn.functional.normalize(torch.randn(5_000, 3, generator=generator), dim=-1)
    change = (outline_margin(kind, o + step, d) - outline_margin(kind, o, d)).abs() / 1e-4
    near = outline_margin(kind, o, d).abs() < 0.02
    assert change[near].quantile(0.95) < 1.2


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_hard_image_is_the_limit(view):
    drawn = scenes(12)
    sharp = SoftView(view.camera, view.light_3, softness=1e-5)
    hard = render_rays(drawn.to(torch.float32), view.camera, view.light_3)
    assert (render_soft(drawn, sharp) - hard).abs().gt(1e-2).double().mean() < 2e-3


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_gradient_agrees_with_finite_differences(view):
    """Sum of weighted pixels against central differences, in double precision."""
    drawn = scenes(4)
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(4, 24, 24, generator=generator, dtype=torch.float64)
    pose = torch.zeros(4, 3, 6, dtype=torch.float64, requires_grad=True)

    def value(pose):
        R = torch.stack(
            [
                torch.stack([turned(drawn.rotations_BK33[b, k], pose[b, k, 3:]) for k in range(3)])
                for b in range(4)
            ]
        )
        moved = PrimitiveScenes(drawn.kinds_BK, drawn.positions_BK3 + pose[..., :3], R)
        return (render_soft(moved, view) * weight).sum((1, 2))

    (gradient,) = torch.autograd.grad(value(pose).sum(), pose)
    step = 1e-6
    agree = total = 0
    for k in range(3):
        for i in range(6):
            shift = torch.zeros_like(pose)
            shift[:, k, i] = step
            with torch.no_grad():
                numeric = (value(pose + shift) - value(pose - shift)) / (2 * step)
            close = torch.isclose(numeric, gradient[:, k, i], rtol=1e-3, atol=1e-4)
            agree, total = agree + int(close.sum()), total + 4
    # A pixel may sit on the crease between two faces, where only one-sided derivatives exist.
    assert agree >= 0.97 * total


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_jacobian_is_the_gradient(view):
    drawn = scenes(3)
    pose = torch.zeros(3, 3, 6, dtype=torch.float64)
    image, jacobian = image_and_jacobian(drawn, view)
    assert torch.allclose(image.view(3, 24, 24), render_soft(drawn, view))
    weight = torch.randn(3, 576, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    pose.requires_grad_()
    R = torch.stack(
        [
            torch.stack([turned(drawn.rotations_BK33[b, k], pose[b, k, 3:]) for k in range(3)])
            for b in range(3)
        ]
    )
    moved = PrimitiveScenes(drawn.kinds_BK, drawn.positions_BK3 + pose[..., :3], R)
    (expected,) = torch.autograd.grad((render_soft(moved, view).flatten(1) * weight).sum(), pose)
    actual = torch.einsum("bp,bpki->bki", weight, jacobian)
    assert torch.allclose(actual, expected, rtol=1e-6, atol=1e-8)


def test_jacobian_of_chosen_rays():
    drawn, view = scenes(3), VIEWS["reference"]
    image, jacobian = image_and_jacobian(drawn, view)
    chosen = torch.tensor([[5, 300, 17], [0, 1, 2], [575, 280, 290]])
    part, part_jacobian = image_and_jacobian(drawn, view, chosen)
    rows = torch.arange(3)[:, None]
    assert torch.allclose(part, image[rows, chosen])
    assert torch.allclose(part_jacobian, jacobian[rows, chosen])


def test_single_precision_gradients_are_finite():
    drawn = SceneSampler(kinds=ALL).sample(64, torch.Generator().manual_seed(20_003))
    _, jacobian = image_and_jacobian(drawn, SoftView(PERSPECTIVE_CAMERA, SIDE_LIGHT))
    assert torch.isfinite(jacobian).all()


def test_empty_scene_is_black():
    drawn = SceneSampler(empty_share=1.0).sample(2, torch.Generator().manual_seed(20_004))
    assert render_soft(drawn).abs().max() == 0
