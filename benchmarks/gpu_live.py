"""Frames a second and milliseconds a phrase on a CUDA GPU, beside the official order of work.

Without a run, the base size of lerf-wild is trained on a painted wall, with torch's hash grids and,
where it is installed, with tiny-cuda-nn. With `--load-config` a run of lerf-wild or
lerf-wild-splat is measured; splats have no official order of work to compare with. Plain frames,
frames with a phrase, and the baseline take turns.

Run with `python -m benchmarks.gpu_live --json FILE`. Without a GPU it says so and ends with code 2.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import tyro
from nerfstudio.cameras.cameras import Cameras

from benchmarks.official_relevancy import OfficialOrder, use_stock_grids
from benchmarks.painted_wall import crop_query, train_on_wall
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.language.relevancy import Query
from lerf_wild.live.question import plain_question
from lerf_wild.methods.lerf_wild.hash_grid import use_fast_lookup
from lerf_wild.methods.lerf_wild.model import LerfWildModel

NO_GPU = (
    "There is no CUDA GPU here, so nothing was measured.\n"
    "On a CPU: python -m benchmarks.still_view --json FILE."
)
MOVE = 0.002
"""How far the camera moves between two frames, in nerf units."""


def main(
    load_config: Path | None = None,
    size: int = 512,
    frames: int = 20,
    phrases: int = 20,
    train_steps: int = 500,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Times frames and phrases on a GPU and writes the figures.

    Args:
        load_config: A run whose first held-out view is asked; a painted wall when left out.
        size: Height of the view, and its width on the painted wall.
        frames: Frames of each kind.
        phrases: Phrases that are asked one after the other on a still view.
        train_steps: Steps of training on the painted wall.
        seed: Seed of weights, scene and phrases.
        json_file: Where to write the figures.
    """
    if not torch.cuda.is_available():
        print(NO_GPU)
        raise SystemExit(2)
    torch.manual_seed(seed)
    figures: dict[str, float] = {}
    if load_config is not None:
        figures |= _measured(*_of_run(load_config, size, phrases), frames)
    else:
        figures |= _measured(*_of_wall("torch", size, phrases, train_steps, seed), frames)
        if _has_tcnn():
            subject = _of_wall("tcnn", size, phrases, train_steps, seed)
            figures |= {f"tcnn_{name}": one for name, one in _measured(*subject, frames).items()}
    for name, value in figures.items():
        print(f"{name:28} {value:.4g}")
    write_report(json_file, {**figures, "size": size}, seed)


def _has_tcnn() -> bool:
    from nerfstudio.utils.external import TCNN_EXISTS

    return TCNN_EXISTS


def _of_wall(
    implementation: str, size: int, phrases: int, steps: int, seed: int
) -> tuple[Any, Cameras, Query]:
    with tempfile.TemporaryDirectory() as folder:
        model, camera, encoder = train_on_wall(
            Path(folder),
            steps,
            512,
            seed,
            full_radiance_field=True,
            device="cuda",
            implementation=implementation,
        )
    camera.rescale_output_resolution(size / int(camera.height[0]))
    with torch.no_grad():
        picture = model.get_outputs_for_camera(camera)["rgb"].permute(2, 0, 1).cpu()
    return model, camera, crop_query(encoder, picture, phrases, seed).to("cuda")


def _of_run(load_config: Path, size: int, phrases: int) -> tuple[Any, Cameras, Query]:
    from lerf_wild.cli.runs import open_run
    from lerf_wild.language.wild_clip import vocabulary

    run = open_run(load_config, takes_splats=True)
    camera = run.dataset("held-out").cameras[0:1]
    camera.rescale_output_resolution(size / int(camera.height[0]))
    return run.model, camera, run.query(vocabulary()[:phrases])


def _measured(model: Any, camera: Cameras, query: Query, frames: int) -> dict[str, float]:
    torch.cuda.reset_peak_memory_stats()
    question = plain_question(_one(query, 0))
    model.go_live()
    plain, asked, official = [], [], []
    for frame in range(frames):
        # Each picture is of a place of its own, as from a camera that moves.
        plain.append(_frame_ms(model, _moved(camera, 2 * frame + 1), None))
        asked.append(_frame_ms(model, _moved(camera, 2 * frame + 2), question))
    memory_mb = torch.cuda.max_memory_allocated() / 1e6
    for _ in range(3 if isinstance(model, LerfWildModel) else 0):
        official.append(_official_ms(model, camera, _one(query, 0)))
    figures = {
        "frames_per_s": 1e3 / statistics.median(plain),
        "frames_per_s_with_phrase": 1e3 / statistics.median(asked),
        "moving_ratio": statistics.median(asked) / statistics.median(plain),
        "query_ms": _query_ms(model, camera, query),
        "peak_mb": memory_mb,
    }
    if official:
        ratios = sorted(one / other for one, other in zip(official, asked))
        figures |= {
            "official_ms": statistics.median(official),
            "ratio": statistics.median(ratios),
            "ratio_low": ratios[0],
            "ratio_high": ratios[-1],
        }
    return figures


def _query_ms(model: Any, camera: Cameras, query: Query) -> float:
    """A new phrase on a view that stands still, the first ones left out to warm up."""
    times = []
    for index in range(len(query.phrases)):
        times.append(_frame_ms(model, camera, plain_question(_one(query, index))))
    return statistics.median(times[len(times) // 4 :])


def _frame_ms(model: Any, camera: Cameras, question: Any) -> float:
    model.ask(question)
    return _timed(lambda: model.get_outputs_for_camera(camera))


@torch.no_grad()
def _official_ms(model: LerfWildModel, camera: Cameras, query: Query) -> float:
    rays = camera.to("cuda").generate_rays(camera_indices=0, keep_shape=True)
    use_stock_grids(model)
    found = _timed(lambda: OfficialOrder(model).answer(rays, query))
    use_fast_lookup(model, in_training=False)
    return found


def _timed(action: Callable[[], object]) -> float:
    torch.cuda.synchronize()
    start = time.perf_counter()
    action()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def _moved(camera: Cameras, step: int) -> Cameras:
    moved = camera.to(camera.device)
    moved.camera_to_worlds = moved.camera_to_worlds.clone()
    moved.camera_to_worlds[..., 0, 3] += MOVE * step
    return moved


def _one(query: Query, index: int) -> Query:
    part = slice(index, index + 1)
    return Query(
        query.phrases[part], query.embeddings_PD[part], query.canonical, query.canonical_CD
    )


if __name__ == "__main__":
    tyro.cli(main)
