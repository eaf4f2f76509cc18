"""Facts of the SMAL schema: the tree of 35 joints, its mirror, limb scales, and 26 keypoints.

Frame of every body: right-handed, +x towards the nose, +y left, +z up, in model units. The tree and
the names are as published for SMAL (Zuffi et al., CVPR 2017); the keypoints as used with Animal3D
(Xu et al., ICCV 2023).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

VERTEX_COUNT, FACE_COUNT, JOINT_COUNT = 3889, 7774, 35

PARENTS: tuple[int, ...] = (
    *(-1, 0, 1, 2, 3, 4, 5),
    *(6, 7, 8, 9),
    *(6, 11, 12, 13),
    *(6, 15),
    *(0, 17, 18, 19),
    *(0, 21, 22, 23),
    *(0, 25, 26, 27, 28, 29, 30),
    *(16, 16, 16),
)
"""Parent of each joint, -1 for the root; a parent always comes before its children."""

JOINT_NAMES: tuple[str, ...] = (
    *("pelvis", "pelvis0", "spine", "spine0", "spine1", "spine2", "spine3"),
    *("LLeg1", "LLeg2", "LLeg3", "LFoot", "RLeg1", "RLeg2", "RLeg3", "RFoot"),
    *("Neck", "Head"),
    *("LLegBack1", "LLegBack2", "LLegBack3", "LFootBack"),
    *("RLegBack1", "RLegBack2", "RLegBack3", "RFootBack"),
    *("Tail1", "Tail2", "Tail3", "Tail4", "Tail5", "Tail6", "Tail7"),
    *("Mouth", "LEar", "REar"),
)

FRONT_LEFT, FRONT_RIGHT = (7, 8, 9, 10), (11, 12, 13, 14)
HIND_LEFT, HIND_RIGHT = (17, 18, 19, 20), (21, 22, 23, 24)
SPINE, TAIL = (1, 2, 3, 4, 5, 6), (25, 26, 27, 28, 29, 30, 31)
NECK, HEAD, MOUTH, LEFT_EAR, RIGHT_EAR = 15, 16, 32, 33, 34
LEGS = (*FRONT_LEFT, *FRONT_RIGHT, *HIND_LEFT, *HIND_RIGHT)

LIMB_SCALES: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = (
    ("legs length", LEGS, (2,)),
    ("legs girth", LEGS, (0, 1)),
    ("tail length", TAIL, (0,)),
    ("tail girth", TAIL, (1, 2)),
    ("ears width", (LEFT_EAR, RIGHT_EAR), (1,)),
    ("ears length", (LEFT_EAR, RIGHT_EAR), (2,)),
    ("head length", (HEAD, MOUTH), (0,)),
)
"""Name, joints and axes of each log scale of BARC and BITE; SMALify and WLDO use the first six."""

KEYPOINT_NAMES: tuple[str, ...] = (
    *("left eye", "right eye", "mouth", "left front paw", "right front paw"),
    *("left hind paw", "right hind paw", "tail base", "left front thigh", "right front thigh"),
    *("left hind thigh", "right hind thigh", "left shoulder", "right shoulder"),
    *("left front knee", "right front knee", "left hind knee", "right hind knee"),
    *("neck", "tail tip", "left ear", "right ear", "left mouth", "right mouth"),
    *("nose", "tail middle"),
)
KEYPOINT_MIRROR: tuple[int, ...] = (
    *(1, 0, 2, 4, 3, 6, 5, 7, 9, 8, 11, 10, 13, 12, 15, 14, 17, 16, 18, 19, 21, 20, 23, 22, 24, 25),
)

SMAL_KEYPOINT_GROUPS: tuple[tuple[int, ...], ...] = (
    *((1068, 1080, 1029, 1226), (2660, 3030, 2675, 3038), (910,)),
    *((360, 1203, 1235, 1230), (3188, 3156, 2327, 3183)),
    *((1976, 1974, 1980, 856), (3854, 2820, 3852, 3858), (452, 1811)),
    *((416, 235, 182), (2156, 2382, 2203), (829,), (2793,)),
    *((60, 114, 186, 59), (2091, 2037, 2036, 2160)),
    *((384, 799, 1169, 431), (2351, 2763, 2397, 3127), (221, 104), (2754, 2192)),
    *((191, 1158, 3116, 2165), (28, 1109, 1110, 1111, 1835, 1836, 3067, 3068, 3069)),
    *((498, 499, 500, 501, 502, 503), (2463, 2464, 2465, 2466, 2467, 2468)),
    *((764, 915, 916, 917, 934, 935, 956), (2878, 2879, 2880, 2897, 2898, 2919, 3751)),
    *((1039, 1845, 1846, 1870, 1879, 1919, 2997, 3761, 3762),),
    *((0, 464, 465, 726, 1824, 2429, 2430, 2690),),
)
"""Vertices of SMAL's own topology whose mean is each keypoint; other meshes bring their own."""


def joint_mirror() -> NDArray[np.int64]:
    """Index of the joint on the other side of each joint, shape (35,)."""
    order = np.arange(JOINT_COUNT)
    for left, right in ((FRONT_LEFT, FRONT_RIGHT), (HIND_LEFT, HIND_RIGHT)):
        order[list(left)], order[list(right)] = right, left
    order[[LEFT_EAR, RIGHT_EAR]] = RIGHT_EAR, LEFT_EAR
    return order


def tree_levels(parents: tuple[int, ...] = PARENTS) -> list[list[int]]:
    """Joints by their depth in the tree, the root first."""
    depth: list[int] = []
    for parent in parents:
        depth.append(0 if parent < 0 else depth[parent] + 1)
    return [[j for j, d in enumerate(depth) if d == level] for level in range(max(depth) + 1)]


def limb_scale_mask(count: int) -> NDArray[np.float64]:
    """What each of ``count`` (6 or 7) log scales acts on, shape (count, 35, 3)."""
    mask = np.zeros((count, JOINT_COUNT, 3))
    for row, (_, joints, axes) in zip(mask, LIMB_SCALES):
        row[np.ix_(joints, axes)] = 1.0
    return mask
