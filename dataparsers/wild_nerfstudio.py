"""nerfstudio's own dataset format, with checked files, safe paths and a metric scale."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Type  # noqa: UP035

from nerfstudio.data.dataparsers.base_dataparser import DataparserOutputs
from nerfstudio.data.dataparsers.nerfstudio_dataparser import (
    MAX_AUTO_RESOLUTION,
    Nerfstudio,
    NerfstudioDataParserConfig,
)
from nerfstudio.plugins.registry_dataparser import DataParserSpecification
from PIL import Image, UnidentifiedImageError

from lerf_wild.dataparsers.scene_file import SPLITS, meters_per_unit, read_scene_file
from lerf_wild.errors import DatasetError
from lerf_wild.storage.safe_paths import inside


@dataclass
class WildNerfstudioDataParserConfig(NerfstudioDataParserConfig):
    """Dataset in nerfstudio's format: transforms.json beside a folder of images."""

    _target: Type = field(default_factory=lambda: WildNerfstudio)  # noqa: UP006
    """Target class to instantiate."""
    allow_outside_root: bool = False
    """Let transforms.json name files outside its own folder (absolute paths, links, ..)."""
    check_images: bool = True
    """Compare each image's size with its camera before training. Rendering needs no images."""


@dataclass
class WildNerfstudio(Nerfstudio):
    """Parses the format as nerfstudio does, after checking the file and the images' sizes."""

    config: WildNerfstudioDataParserConfig

    def scene_path(self) -> Path:
        """Returns the path of transforms.json; raises DatasetError when there is no dataset."""
        data = Path(self.config.data)
        if not data.exists():
            raise DatasetError(f"{data}: there is no such folder. Pass the scene with --data.")
        if data.suffix == ".json":
            return data
        if data.is_dir() and not any(data.iterdir()):
            raise DatasetError(f"{data}: the folder is empty. Pass a captured scene with --data.")
        return data / "transforms.json"

    def _generate_dataparser_outputs(
        self, split: str = "train", **kwargs: Any
    ) -> DataparserOutputs:
        path = self.scene_path()
        scene = read_scene_file(path)
        split = _split_to_use(scene, split)
        self._check_points(path, scene)
        try:
            outputs = super()._generate_dataparser_outputs(split)
        except (AssertionError, RuntimeError, KeyError, IndexError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetError(f"{path}, {split} split: {reason}") from None
        outputs.metadata["meters_per_unit"] = meters_per_unit(path, scene)
        if self.config.check_images:
            _check_image_sizes(outputs)
        return outputs

    def _check_points(self, path: Path, scene: dict[str, Any]) -> None:
        """Raises DatasetError where the points to begin with are not in the dataset's folder."""
        name = scene.get("ply_file_path")
        if name is None or not self.config.load_3D_points:
            return
        if not inside(path.parent, name, self.config.allow_outside_root).is_file():
            raise DatasetError(
                f"{path}: ply_file_path names {str(name)[:80]!r}, which isn't there. Take the line "
                "out, or add the file."
            )

    def _get_fname(
        self, filepath: Path, data_dir: Path, downsample_folder_prefix: str = "images_"
    ) -> Path:
        name = filepath.as_posix()
        allow = self.config.allow_outside_root
        if self.config.downscale_factor is not None:
            # nerfstudio sets 1 for rendering, which would ask for other images than training did.
            self.downscale_factor = self.config.downscale_factor
        if self.downscale_factor is None:
            first = inside(data_dir, name, allow)
            can_look = self.config.check_images or first.exists()
            self.downscale_factor = _automatic_factor(first, data_dir) if can_look else 1
        if self.downscale_factor <= 1:
            return inside(data_dir, name, allow)
        folder = f"{downsample_folder_prefix}{self.downscale_factor}"
        if downsample_folder_prefix == "images_" and not (data_dir / folder).is_dir():
            raise DatasetError(
                f"{data_dir / folder}: there are no images downscaled by {self.downscale_factor}.\n"
                "Make them, or leave the factor out and pass --pipeline.datamanager."
                f"camera-res-scale-factor {1 / self.downscale_factor:g}, which needs no folder."
            )
        return inside(data_dir, f"{folder}/{filepath.name}", allow)


def _split_to_use(scene: dict[str, Any], split: str) -> str:
    """Where a dataset names its splits but lacks this one, the next best held-out one serves."""
    named = [name for name in SPLITS if scene.get(f"{name}_filenames")]
    if not named or split in named:
        return split
    held_out = [name for name in ("test", "val") if name in named]
    return held_out[0] if held_out else "train"


def _automatic_factor(image_path: Path, data_dir: Path) -> int:
    """Returns nerfstudio's choice: halve to 1600 pixels as far as folders of that size exist."""
    width, height = _image_size(image_path)
    factor = 1
    while max(width, height) / factor > MAX_AUTO_RESOLUTION:
        if not (data_dir / f"images_{factor * 2}" / image_path.name).exists():
            break
        factor *= 2
    return factor


def _check_image_sizes(outputs: DataparserOutputs) -> None:
    for path, width, height in zip(
        outputs.image_filenames,
        outputs.cameras.width.flatten().tolist(),
        outputs.cameras.height.flatten().tolist(),
    ):
        have = _image_size(path)
        # Folders of downscaled images may round the size the other way.
        if abs(have[0] - width) > 1 or abs(have[1] - height) > 1:
            raise DatasetError(
                f"{path}: {have[0]}x{have[1]} pixels, but transforms.json says {width}x{height}.\n"
                "Correct w and h there (and fl_x, fl_y, cx, cy), or replace the image."
            )
    for path in outputs.mask_filenames or []:
        _image_size(path)


def _image_size(path: Path) -> tuple[int, int]:
    try:
        with Image.open(path) as image:
            return image.size
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: image not found. Check 'file_path' in transforms.json."
        ) from None
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError) as error:
        raise DatasetError(f"{path}: not a readable image ({error}).") from None


wild_data = DataParserSpecification(
    config=WildNerfstudioDataParserConfig(),
    description="nerfstudio's format with checked files, safe paths and a metric scale.",
)
