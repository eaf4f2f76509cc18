"""`lerf-wild animal show / convert`: an animal from words or parameters, and body files."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro
from rich.console import Console

from lerf_wild.cli.progress import say
from lerf_wild.cli.report import JsonFile, write_report
from lerf_wild.errors import InputError
from lerf_wild.storage.atomic import writing

if TYPE_CHECKING:
    from torch import Tensor

    from lerf_wild.animals.body import BodyModel
    from lerf_wild.animals.coats import Coat
    from lerf_wild.animals.poses.library import Pose
    from lerf_wild.animals.species import Species

SUFFIXES = (".glb", ".obj", ".ply", ".npz")
PLAIN_COLOUR = (176, 142, 98)
CYCLE_SECONDS = {"walk": 1.1, "trot": 0.7, "gallop": 0.5}

Source = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="IN.pkl")]
Target = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT.safetensors")]


@dataclass(frozen=True)
class Shown:
    """What `animal show` writes: one shape in one or more poses."""

    model: "BodyModel"
    betas: "Tensor"
    pose: "Pose"
    action: str
    metres_per_unit: float
    coat: "Coat | None"

    @property
    def moves(self) -> bool:
        """Whether it is a cycle of a gait."""
        return self.pose.rotations.ndim == 4


def animal_show(
    words: str | None = None,
    betas: Path | None = None,
    pose: Path | None = None,
    gait: str = "stand",
    output_path: Path = Path("animal.glb"),
    picture: Path | None = None,
    body: Path | None = None,
    flow: Path | None = None,
    height_m: float | None = None,
    coat: str | None = None,
    frames: int = 24,
    individual: bool = False,
    seed: int = 0,
    json_file: JsonFile = None,
) -> None:
    """Makes an animal from words or shape coefficients, in a pose or a gait, and writes it.

    Args:
        words: Which animal, such as "red deer" or "a long-legged dog with a short tail".
        betas: In place of words, a .npz of this command, or a JSON list of shape coefficients.
        pose: Poses as .npz (own, GenZoo's or BITE's); the first one is taken.
        gait: walk, trot or gallop (one cycle), or stand, graze, sit or lie.
        output_path: .glb (with skeleton, and the cycle of a gait), .obj, .ply, or .npz for the
            parameters.
        picture: Also a picture, .png or .jpg; .gif or .webp of a gait shows the whole cycle.
        body: A body model as .safetensors in place of the bundled one.
        flow: A flow from words to that body's shapes.
        height_m: Height at the withers; by default that of the species, where one is named.
        coat: Species whose coat it wears, on the bundled body; by default the named one's.
        frames: Poses of a cycle.
        individual: Draw one individual that fits the words, by the seed.
        seed: What decides individual, pose and where the marks of a coat fall.
        json_file: Where to write shape, proportions and size as JSON.
    """
    if output_path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{output_path}: end the name in one of {', '.join(SUFFIXES)}.")
    if (words is None) == (betas is None):
        raise InputError("Give either --words or --betas.")
    from lerf_wild.animals.body_files import read_body
    from lerf_wild.animals.bundled import load_quadruped
    from lerf_wild.animals.size import metres_per_unit

    model = load_quadruped().model if body is None else read_body(body)
    rng = np.random.default_rng(seed)
    species = _species(words)
    if words is not None:
        shape = _from_words(words, model, flow, body is not None, rng if individual else None)
    else:
        shape = _from_file(betas, model)
    height = height_m or (species.height_m if species is not None else None) or 1.0
    action, posed = _posed(model, shape, pose, gait, frames, rng)
    scale = float(metres_per_unit(model, shape, height))
    chosen = _coat(coat, species) if body is None else None
    shown = Shown(model, shape, posed, action, scale, chosen)
    _write(output_path, shown, seed)
    if picture is not None:
        _write_picture(picture, shown, seed)
    _report(shown, output_path, picture, height, species, seed, json_file)


def animal_convert(source: Source, target: Target, json_file: JsonFile = None) -> None:
    """Converts a SMAL-family pickle into a body file, without running anything in it.

    Args:
        source: The .pkl of SMAL, SMAL+, BARC or BITE, as you downloaded it.
        target: The body file to write; the original's licence goes on holding for it.
        json_file: Where to write what the file was.
    """
    from lerf_wild.animals.smal_pickle import convert

    if target.suffix != ".safetensors":
        raise InputError(f"{target}: end the name in .safetensors.")
    with writing(target):
        figures = convert(source, target)
    say(
        Console(),
        f"{target}: {figures['family']}, {figures['vertices']} vertices, {figures['joints']} "
        f"joints, {figures['betas']} betas"
        + ("." if figures["keypoints"] else "; no keypoints are known for its mesh."),
    )
    write_report(json_file, figures)


def _species(words: str | None) -> "Species | None":
    from lerf_wild.animals.words.pairs import ANY_KIND
    from lerf_wild.animals.words.phrases import kind_in, kind_names

    found = None if words is None else kind_in(words)
    if words is not None and found is None and not set(words.split()) & {*kind_names(ANY_KIND)}:
        say(Console(), "The words name no animal of the table; shape and coat are guesses.")
    return found


def _from_words(
    words: str, model: "BodyModel", flow: Path | None, is_foreign: bool, rng
) -> "Tensor":
    from lerf_wild.animals.words.shapes import load_shape_flow, read_shape_flow

    if flow is None and is_foreign:
        raise InputError(
            "The bundled flow knows the bundled body alone; give --flow for this one, trained with "
            "`python -m lerf_wild.animals.words.training`."
        )
    shapes = load_shape_flow() if flow is None else read_shape_flow(flow, model)
    return shapes.betas_of(words, rng)


def _from_file(path: Path, model: "BodyModel") -> "Tensor":
    import torch

    from lerf_wild.animals.animal_files import read_parameters
    from lerf_wild.storage.json_files import read_json

    if path.suffix != ".json":
        return read_parameters(path, model).betas
    values = read_json(path)
    if not isinstance(values, list) or not all(isinstance(v, int | float) for v in values):
        raise InputError(f"{path}: expected a list of shape coefficients.")
    betas = torch.tensor([float(v) for v in values])
    model.rest(betas)
    return betas


def _posed(
    model: "BodyModel", betas: "Tensor", path: Path | None, gait: str, frames: int, rng
) -> "tuple[str, Pose]":
    from lerf_wild.animals.poses.gaits import GAITS
    from lerf_wild.animals.poses.library import Pose, draw_pose, gait_cycle
    from lerf_wild.animals.poses.pose_files import read_poses
    from lerf_wild.animals.size import ground_shift

    if path is not None:
        rotations = read_poses(path)[0].float()
        vertices = model.pose(betas, rotations).vertices
        return path.name, Pose(rotations.double(), ground_shift(vertices).double())
    if gait in GAITS:
        return gait, gait_cycle(model, betas, gait, frames)
    return draw_pose(model, betas, rng, gait, spread=0.3)


def _coat(name: str | None, species: "Species | None") -> "Coat":
    from lerf_wild.animals.coats import COATS, Coat
    from lerf_wild.animals.species import species_named

    if name is not None:
        return COATS[name] if name in COATS else species_named(name).coat
    return Coat() if species is None or species.coat is None else species.coat


def _write(path: Path, shown: Shown, seed: int) -> None:
    import torch

    from lerf_wild.animals.animal_files import AnimalParameters, write_mesh, write_parameters
    from lerf_wild.animals.skinned_glb import Animation, write_skinned_glb

    rotations, shift = shown.pose.rotations, shown.pose.translation
    if path.suffix.lower() == ".glb":
        moving = rotations if shown.moves else rotations[None]
        shifts = shift if shown.moves else shift[None]
        seconds = CYCLE_SECONDS.get(shown.action, 1.0)
        clip = Animation(moving, shifts, seconds, shown.action, loops=shown.moves)
        colours = _vertex_colours(shown, seed)
        size = shown.metres_per_unit
        write_skinned_glb(path, shown.model, shown.betas, size, (clip,), colours)
        return
    first = (rotations[0], shift[0]) if shown.moves else (rotations, shift)
    if path.suffix.lower() == ".npz":
        digest, size = shown.model.sha256, shown.metres_per_unit
        write_parameters(path, AnimalParameters(shown.betas, *first, digest, size))
        return
    posed = shown.model.pose(shown.betas, *(part.float() for part in first))
    with torch.no_grad():
        vertices = (posed.vertices * shown.metres_per_unit).numpy()
    write_mesh(path, vertices, shown.model.faces_F3.numpy(), _vertex_colours(shown, seed))


def _vertex_colours(shown: Shown, seed: int) -> np.ndarray | None:
    from lerf_wild.animals.coats import make_canvas, paint

    if shown.coat is None:
        return None
    return np.clip(paint(shown.coat, make_canvas(0), seed), 0, 255).astype(np.uint8)


def _write_picture(path: Path, shown: Shown, seed: int) -> None:
    from lerf_wild.cli.animal_pictures import pictures_of, save_pictures

    save_pictures(path, pictures_of(shown, seed), CYCLE_SECONDS.get(shown.action, 1.0))


def _report(
    shown: Shown,
    path: Path,
    picture: Path | None,
    height: float,
    species: "Species | None",
    seed: int,
    json_file: Path | None,
) -> None:
    figures = _figures(shown, path, height, species)
    say(Console(), _summary(figures, picture))
    write_report(json_file, figures, seed=seed)


def _figures(shown: Shown, path: Path, height: float, species: "Species | None") -> dict:
    from lerf_wild.animals.words.proportions import MEASURES, measured

    figures = {
        "file": str(path),
        "species": None if species is None else species.name,
        "action": shown.action,
        "height_m": height,
        "metres_per_unit": shown.metres_per_unit,
        "betas": shown.betas.tolist(),
        "model_sha256": shown.model.sha256,
    }
    if shown.model.keypoint_regressor_PV is not None:
        values = measured(shown.model, shown.model.rest(shown.betas)).tolist()
        figures |= {f"{name}_proportion": value for name, value in zip(MEASURES, values)}
    return figures


def _summary(figures: dict, picture: Path | None) -> str:
    named = figures["species"] or "an animal"
    also = "" if picture is None else f", {picture}"
    return (
        f"{figures['file']}{also}: {named}, {figures['action']}, {figures['height_m']:.2f} m high "
        "at the withers."
    )
