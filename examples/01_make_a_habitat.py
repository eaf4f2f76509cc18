"""Makes a small habitat and says what stands in it.

python examples/01_make_a_habitat.py --output-dir outputs/examples/scene
"""

from pathlib import Path

import tyro

from lerf_wild.language.labels import read_scene_truth
from lerf_wild.synth.habitat import make_habitat
from lerf_wild.synth.habitat_files import write_habitat


def main(output_dir: Path = Path("outputs/examples/scene"), seed: int = 5, views: int = 24) -> None:
    """Writes the scene.

    Args:
        output_dir: Folder of the new scene.
        seed: What decides the place and everything in it.
        views: Number of pictures.
    """
    habitat = make_habitat(seed, biome="meadow")
    write_habitat(habitat, output_dir, views, size=(128, 128))

    truth = read_scene_truth(output_dir / "scene.json")
    for thing in truth.instances:
        x, y, _ = thing.position_m
        print(f"{thing.phrases[0]:24} {thing.height_m:4.1f} m high, at {x:5.1f} {y:5.1f} m")
    print(f"Not there: {', '.join(truth.absent[:8])} ...")


if __name__ == "__main__":
    tyro.cli(main)
