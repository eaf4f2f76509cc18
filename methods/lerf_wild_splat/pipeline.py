"""The pipeline of lerf-wild on splats, and what is said where there is no GPU."""

from __future__ import annotations

import torch
from nerfstudio.utils.rich_utils import CONSOLE

from lerf_wild.errors import EXIT_CODE
from lerf_wild.methods.lerf_wild.pipeline import LerfWildPipeline
from lerf_wild.methods.lerf_wild_splat.config import LerfWildSplatPipelineConfig

NO_CUDA = (
    "lerf-wild-splat draws gaussians with gsplat, which needs a CUDA GPU, and there is none here.\n"
    "Train lerf-wild-tiny instead: ns-train lerf-wild-tiny --data SCENE takes minutes on a laptop."
)


class LerfWildSplatPipeline(LerfWildPipeline):
    """lerf-wild's pipeline on whole images."""

    config: LerfWildSplatPipelineConfig


def need_cuda() -> None:
    """Ends the process with two lines where there is no CUDA GPU.

    nerfstudio's commands would show a traceback for any other exception.
    """
    if not torch.cuda.is_available():
        CONSOLE.print(NO_CUDA, markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(EXIT_CODE)
