"""A trained run, opened for questions: its views, its answers and its coordinates.

Frames: "nerf" is what the field was trained in, "world" that of the capture's transforms.json;
x_nerf = scale * (R @ x_world + t). Importing this module imports nothing of nerfstudio.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from lerf_wild.cli.quiet import quiet_nerfstudio
from lerf_wild.cli.run_config import read_config
from lerf_wild.errors import DatasetError, EncoderError, ModelFileError
from lerf_wild.frames import Placed
from lerf_wild.language.relevancy import CANONICAL_PHRASES, Query, clean_phrases

if TYPE_CHECKING:
    from nerfstudio.cameras.cameras import Cameras
    from nerfstudio.data.datasets.base_dataset import InputDataset

    from lerf_wild.language.feature_store import FeatureEntry

CHECKPOINT_FOLDER = "nerfstudio_models"
Split = Literal["train", "held-out"]


@dataclass(frozen=True)
class ViewAnswer:
    """A rendered view and where its phrases are, on the CPU."""

    outputs: dict[str, torch.Tensor]
    """nerfacto's outputs: rgb, accumulation, depth ..."""
    relevancy_HWP: Float[np.ndarray, "H W P"]
    size_P: Float[np.ndarray, "P"]
    """Size at which each phrase was found, in world units."""

    @property
    def rgb_HW3(self) -> np.ndarray:
        """The rendered colours as uint8."""
        rgb = self.outputs["rgb"].clamp(0, 1).numpy()
        return (rgb * 255).round().astype(np.uint8)


@dataclass(frozen=True)
class Run(Placed):
    """A run of lerf-wild with its weights loaded."""

    config_path: Path
    config: Any
    pipeline: Any
    step: int
    transform_34: Float[np.ndarray, "3 4"]
    scale: float
    meters_per_unit: float | None
    """Metres per world unit, None where the capture has no metric scale."""

    @property
    def title(self) -> str:
        """The experiment and how far it has been trained."""
        return f"{self.config.experiment_name}, step {self.step}"

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.config_path.parent

    @property
    def scene(self) -> Path:
        """The folder of the capture."""
        data = Path(self.pipeline.datamanager.get_datapath())
        return data if data.is_dir() else data.parent

    @property
    def model(self) -> Any:
        """The model, in evaluation mode."""
        return self.pipeline.model

    def dataset(self, split: Split) -> InputDataset:
        """The pictures and cameras of the training or of the held-out views."""
        manager = self.pipeline.datamanager
        return manager.train_dataset if split == "train" else manager.eval_dataset

    def query(self, phrases: Sequence[str], canonical: Sequence[str] = CANONICAL_PHRASES) -> Query:
        """Embeds phrases with the encoder of the training.

        Raises QueryError for phrases that can't be used and EncoderError when the encoder can't be
        had.
        """
        asked = self._embedded(phrases)
        if tuple(canonical) == asked.canonical:
            return asked
        negatives = self._embedded(canonical)
        return replace(asked, canonical=negatives.phrases, canonical_CD=negatives.embeddings_PD)

    def _embedded(self, phrases: Sequence[str]) -> Query:
        # The model embeds phrases only with the encoder that it was trained with.
        self.model.set_phrases(clean_phrases(phrases))
        query = self.model.query
        self.model.set_query(None)
        return query

    def kept_tiles(self) -> Sequence[FeatureEntry]:
        """The features of the training photos, none where the cache has them no more, or where a
        photo or an encoder that they are told by is gone."""
        from lerf_wild.methods.lerf_wild.features import kept_tiles

        try:
            return kept_tiles(self.pipeline.datamanager, self.pipeline.encoders)
        except EncoderError:
            return ()

    def answer(
        self,
        cameras: Cameras,
        index: int,
        query: Query | None,
        size_index_P: torch.Tensor | None = None,
    ) -> ViewAnswer:
        """Renders one camera and, with a query, finds its phrases.

        The size of each phrase is chosen in this view, as the model itself does, unless the indices
        of sizes are given, such as those chosen over the whole scene.
        """
        from lerf_wild.methods.lerf_wild.view_query import answer_view

        rays = cameras.to(self.model.device).generate_rays(index, keep_shape=True)
        if query is None:
            with torch.no_grad():
                outputs = self.model.get_outputs_for_camera_ray_bundle(rays)
            none = np.zeros((*rays.shape, 0), np.float32)
            return ViewAnswer(_on_cpu(outputs), none, np.zeros(0, np.float32))
        if size_index_P is not None:
            return self._answer_at(rays, query, size_index_P)
        found = answer_view(self.model, rays, query)
        return self._on_cpu(found.outputs, found.relevancy_HWP, found.size_P)

    @torch.no_grad()
    def _answer_at(self, rays: Any, query: Query, size_index_P: torch.Tensor) -> ViewAnswer:
        from lerf_wild.methods.lerf_wild.scale_search import fold_query
        from lerf_wild.methods.lerf_wild.view_query import ray_chunks, relevancy_at

        model, sizes_S = self.model, self.model.query_sizes()
        folded = fold_query(query, model.language.clip_head)
        parts: dict[str, list[torch.Tensor]] = {}
        for chunk in ray_chunks(rays, model.config.eval_num_rays_per_chunk):
            outputs, samples = model.shade(chunk.to(model.device))
            found = relevancy_at(model, samples, folded, sizes_S, size_index_P)
            found = model.mixed_relevancy(outputs, found, query)
            for name, value in (outputs | {"relevancy": found}).items():
                if isinstance(value, torch.Tensor):
                    parts.setdefault(name, []).append(value)
        images = {name: torch.cat(part).view(*rays.shape, -1) for name, part in parts.items()}
        return self._on_cpu(images, images.pop("relevancy"), sizes_S[size_index_P])

    def _on_cpu(
        self, outputs: dict[str, torch.Tensor], relevancy: torch.Tensor, sizes: torch.Tensor
    ) -> ViewAnswer:
        lengths = sizes.float().cpu().numpy() * self.length_per_nerf
        return ViewAnswer(_on_cpu(outputs), relevancy.float().cpu().numpy(), lengths)


def open_run(
    load_config: Path,
    data: Path | None = None,
    takes_splats: bool = False,
    adapt: Callable[[Any, Path], Any] | None = None,
) -> Run:
    """Opens the run of a config.yml, wherever its folder or the capture has been moved to.

    Args:
        load_config: the run's config.yml or its folder. nerfstudio's own commands call whatever a
            config.yml names; here that is held to nerfstudio, this project and plugins.
        data: where the capture is now, when it isn't where it was in training.
        takes_splats: whether the command can work on a run of lerf-wild-splat.
        adapt: changes the config, given the run's folder, before anything is built of it.

    Raises:
        DatasetError, ModelFileError or EncoderError, naming the file and the remedy.
    """
    path = _config_file(load_config)
    _check_is_ours(path, takes_splats)
    _checkpoint_of(path.parent)
    with quiet_nerfstudio():
        return _open(path, data, adapt)


def _open(path: Path, data: Path | None, adapt: Callable[[Any, Path], Any] | None) -> Run:
    def prepare(config: Any) -> Any:
        _relocate(config, path, data)
        return config if adapt is None else adapt(config, path.parent)

    return run_of(path, *_without_foreign_errors(path, lambda: _set_up(path, prepare)))


def _set_up(path: Path, prepare: Callable[[Any], Any]) -> tuple[Any, Any, int]:
    """Config, pipeline and step of a run, as nerfstudio's `eval_setup` gives them.

    That one imports the configs of all methods and plugins first, which takes as long as all else
    that a command does before it looks at the run.
    """
    import yaml
    from nerfstudio.engine.trainer import TrainerConfig

    config = read_config(path)
    if not isinstance(config, TrainerConfig):
        raise yaml.YAMLError(f"it holds a {type(config).__name__}")
    config = prepare(config)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pipeline = config.pipeline.setup(device=device, test_mode="test")
    pipeline.eval()
    checkpoint = _checkpoint_of(path.parent)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)  # noqa: TID251
    pipeline.load_pipeline(state["pipeline"], state["step"])
    return config, pipeline, state["step"]


def run_of(path: Path, config: Any, pipeline: Any, step: int) -> Run:
    """Returns the run of a pipeline that is already there, as in a viewer."""
    outputs = pipeline.datamanager.train_dataparser_outputs
    transform = outputs.dataparser_transform.double().cpu().numpy()[:3]
    metres = outputs.metadata.get("meters_per_unit")
    return Run(path, config, pipeline, step, transform, float(outputs.dataparser_scale), metres)


def _config_file(path: Path) -> Path:
    path = path / "config.yml" if path.is_dir() else path
    if not path.is_file():
        raise ModelFileError(
            f"{path}: there is no such file. Give the config.yml that ns-train wrote, "
            "outputs/SCENE/lerf-wild-tiny/DATE/config.yml."
        )
    return path.resolve()


def _checkpoint_of(folder: Path) -> Path:
    models = folder / CHECKPOINT_FOLDER
    steps = [file for file in models.glob("*.ckpt") if re.fullmatch(r"step-\d+", file.stem)]
    if not steps:
        raise ModelFileError(
            f"{models}: there is no checkpoint (step-*.ckpt) beside the config.yml.\n"
            "Move the whole folder of the run together, or train again with ns-train."
        )
    return max(steps)


def _relocate(config: Any, path: Path, data: Path | None) -> None:
    # An absolute folder wins over the one of the training, which may be gone.
    config.relative_model_dir = path.parent / CHECKPOINT_FOLDER
    config.load_step = int(_checkpoint_of(path.parent).stem.split("-")[1])
    config.pipeline.run_dir = path.parent
    manager = config.pipeline.datamanager
    scene = data or find_capture(Path(manager.data or manager.dataparser.data), path)
    if not scene.exists():
        raise DatasetError(
            f"{path}: the run was trained on {scene}, which is not there.\n"
            "Pass --data with the folder where the capture is now."
        )
    config.data = manager.data = manager.dataparser.data = scene


def find_capture(scene: Path, config: Path) -> Path:
    """Where the capture of a run is: a relative folder is looked for from here and from all folders
    above the run's config.yml, as ns-train may have been started elsewhere; as it is if not found.

    ns-train names the run's own folders after the capture; they are not it.
    """
    above = config.resolve().parents
    places = (start / scene for start in (Path(), *above))
    return next((one for one in places if one.exists() and one.resolve() not in above), scene)


def _check_is_ours(path: Path, takes_splats: bool) -> None:
    try:
        with open(path, encoding="utf-8") as handle:
            first = handle.readline(400)
    except UnicodeDecodeError:
        first = ""
    kind = re.match(r"!!python/object:([\w.]+)", first)
    if kind is None:
        raise ModelFileError(f"{path}: not a config.yml as ns-train writes it.")
    if kind.group(1).startswith("lerf_wild.methods.lerf_wild_splat."):
        if not takes_splats:
            raise ModelFileError(
                f"{path}: a run of lerf-wild-splat, whose pictures ns-viewer and ns-render draw.\n"
                f"To ask or export it: lerf-wild bake --load-config {path}, then query --baked."
            )
    elif not kind.group(1).startswith("lerf_wild.methods.lerf_wild."):
        raise ModelFileError(
            f"{path}: a run of another method ({kind.group(1).split('.')[-1]}), which has no "
            "language field.\nTrain one on the same data with ns-train lerf-wild."
        )


def _without_foreign_errors(path: Path, load: Callable[[], Any]) -> Any:
    import pickle

    import yaml

    try:
        return load()
    except (yaml.YAMLError, AssertionError) as error:
        raise ModelFileError(
            f"{path}: can't be read as a config.yml ({_first_line(error)})."
        ) from None
    except (RuntimeError, EOFError, pickle.UnpicklingError) as error:
        checkpoint = _checkpoint_of(path.parent)
        raise ModelFileError(
            f"{checkpoint}: can't be loaded ({_first_line(error)}).\n"
            "If it was cut off, remove it; the one before it is used then."
        ) from None


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]


def _on_cpu(outputs: dict[str, Any]) -> dict[str, torch.Tensor]:
    return {
        name: value.detach().float().cpu()
        for name, value in outputs.items()
        if isinstance(value, torch.Tensor)
    }
