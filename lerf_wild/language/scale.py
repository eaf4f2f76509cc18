"""Between the size of an image tile and the size of what it shows.

A tile of `ratio` times the image height, seen at distance d through a lens of focal length fy (in
pixels), spans ratio * H * d / fy in the world. LERF feeds the pyramid position instead of the ratio
and so has no metric scale; here the size is the true one, with each camera's own H and fy.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

Number = Float[Tensor, "*batch"] | float


def tile_size_world(
    ratio: Number, image_height: Number, distance: Number, focal_y: Number
) -> Number:
    """Returns the side of a tile in the units of `distance`, measured at that distance.

    Args:
        ratio: side of the tile as a fraction of the image height.
        image_height: in pixels.
        distance: from the camera to the point, in scene units.
        focal_y: vertical focal length in pixels.
    """
    return ratio * image_height * distance / focal_y


def tile_ratio_at(size: Number, image_height: Number, distance: Number, focal_y: Number) -> Number:
    """Inverse of `tile_size_world`: the ratio of a tile that spans `size` at `distance`."""
    return size * focal_y / (image_height * distance)


def metres_per_unit(meters_per_unit: float, dataparser_scale: float) -> float:
    """Returns metres per unit of the trained scene.

    Args:
        meters_per_unit: metres per unit of the capture, from its transforms.json.
        dataparser_scale: factor that the dataparser applied (x_nerf = scale * T @ x_world).
    """
    return meters_per_unit / dataparser_scale
