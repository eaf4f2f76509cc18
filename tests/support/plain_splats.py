"""A rasteriser of gaussians in plain torch: slow, without tiles, with gsplat's signature."""

from __future__ import annotations

import torch

from lerf_wild.methods.lerf_wild_splat.rays import rotations

BLUR_PX = 0.3
MIN_ALPHA, MAX_ALPHA = 1 / 255, 0.999


def rasterization(
    means,
    quats,
    scales,
    opacities,
    colors,
    viewmats,
    Ks,
    width,
    height,
    near_plane=0.01,
    render_mode="RGB",
    sh_degree=None,
    **_,
):
    """Returns pictures [1, H, W, F], cover [1, H, W, 1] and what splatfacto's strategy reads."""
    if sh_degree is not None:
        # The constant harmonic alone: enough for surfaces without reflections.
        colors = (0.28209479177387814 * colors[:, 0] + 0.5).clamp(min=0)
    local = means @ viewmats[0, :3, :3].T + viewmats[0, :3, 3]
    depth = local[:, 2]
    order = depth.argsort()
    order = order[depth[order] > near_plane]
    centres, inverse = _projected(means, quats, scales, local, viewmats[0], Ks[0])
    rows, columns = torch.meshgrid(
        torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij"
    )
    left = torch.ones(height, width)
    drawn = torch.zeros(height, width, colors.shape[1] + 1)
    for one in order.tolist():
        offset = torch.stack([columns, rows], dim=-1) - centres[one]
        square = torch.einsum("hwi,ij,hwj->hw", offset, inverse[one], offset)
        alpha = (opacities[one] * torch.exp(-square / 2)).clamp(max=MAX_ALPHA)
        alpha = alpha * (alpha >= MIN_ALPHA)
        feature = torch.cat([colors[one], depth[one : one + 1]])
        drawn = drawn + (left * alpha)[..., None] * feature
        left = left * (1 - alpha)
    covered = (1 - left)[..., None]
    pictures = drawn[..., :-1]
    if render_mode == "RGB+ED":
        pictures = torch.cat([pictures, drawn[..., -1:] / covered.clamp(min=1e-6)], dim=-1)
    info = {"means2d": torch.zeros(1, len(means), 2, requires_grad=True) * 1.0}
    return pictures[None], covered[None], info


def _projected(means, quats, scales, local, viewmat, K):
    spread = rotations(quats) * scales[:, None]
    turned = viewmat[:3, :3] @ (spread @ spread.transpose(1, 2)) @ viewmat[:3, :3].T
    x, y, z = local.unbind(-1)
    z = z.clamp(min=1e-6)
    zero = torch.zeros_like(z)
    jacobian = torch.stack(
        [
            torch.stack([K[0, 0] / z, zero, -K[0, 0] * x / z**2], dim=-1),
            torch.stack([zero, K[1, 1] / z, -K[1, 1] * y / z**2], dim=-1),
        ],
        dim=-2,
    )
    flat = jacobian @ turned @ jacobian.transpose(1, 2) + BLUR_PX * torch.eye(2)
    centres = torch.stack([K[0, 0] * x / z + K[0, 2], K[1, 1] * y / z + K[1, 2]], dim=-1)
    return centres, torch.linalg.inv(flat)
