"""Grows assets with Infinigen, in a Python environment of its own that is made on first use.

Infinigen 1.15 needs Python 3.11 and its own bpy, and its pins clash with nerfstudio's; so it lives
in a virtual environment in the user's data folder and is only ever run as another process. Birds,
carnivores, herbivores and boulders are grown by it. Its trees need more than 24 GB and its bushes
have millions of triangles, so those two kinds come from `lerf_wild.assets.growing`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import platformdirs

from lerf_wild.assets.asset_files import Description, checked_kind
from lerf_wild.assets.importing import ImportSpec, import_mesh
from lerf_wild.assets.mesh import Asset
from lerf_wild.errors import AssetError
from lerf_wild.storage.atomic import write_text

REQUIREMENTS = ("infinigen==1.15.5", "bpy==4.2.0")
FACTORIES: Mapping[str, str] = MappingProxyType(
    {
        "bird": "BirdFactory",
        "carnivore": "CarnivoreFactory",
        "herbivore": "HerbivoreFactory",
        "rock": "BoulderFactory",
    }
)
"""Kind -> Infinigen's name for what grows it."""
HEIGHTS_M: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "bird": (0.3, 0.6), "carnivore": (0.7, 1.2), "herbivore": (1.0, 1.8), "rock": (0.4, 1.5),
    }
)  # fmt: skip
"""Heights that its assets, which have no scale of their own, are given."""
MARKER, BEGUN = "complete.txt", "begun-by-lerf-wild.txt"
"""Files that say that an environment is whole, and that a folder was made for one."""
FINISHER = Path(__file__).with_name("infinigen_finish.py")
Run = Callable[[Sequence[str], float, Path], str]


def environment_folder() -> Path:
    """Where the environment is or will be; LERF_WILD_INFINIGEN names another place."""
    chosen = os.environ.get("LERF_WILD_INFINIGEN")
    if chosen:
        return Path(chosen).expanduser()
    return Path(platformdirs.user_data_dir("lerf-wild")) / "infinigen-1.15.5"


def is_ready(folder: Path) -> bool:
    """Whether a whole environment is there."""
    return (folder / MARKER).is_file() and _python_in(folder).exists()


def run_process(command: Sequence[str], limit_s: float, folder: Path) -> str:
    """Run a command in a folder and return the end of what it said.

    Raises:
        AssetError: when it can't be started, fails or takes too long, with its last line.
    """
    try:
        done = subprocess.run(
            list(command), cwd=folder, capture_output=True, text=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise AssetError(f"it took more than {limit_s / 60:.0f} minutes") from None
    except OSError as fault:
        raise AssetError(f"{command[0]} can't be started ({fault.strerror})") from None
    said = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        raise AssetError(said.splitlines()[-1][:200] if said else f"exit code {done.returncode}")
    return said[-2000:]


def make_environment(folder: Path, limit_s: float = 3600.0, run: Run = run_process) -> None:
    """Make the environment, once; half of one is thrown away first.

    Raises:
        AssetError: without Python 3.11, a network or the disk space, saying which; or where the
            folder holds something else.
    """
    if is_ready(folder):
        return
    base = _python_311()
    _make_empty(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / BEGUN, "")
        run([base, "-m", "venv", str(folder)], 300.0, folder.parent)
        install = ["-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        run([str(_python_in(folder)), *install, *REQUIREMENTS], limit_s, folder)
        run([str(_python_in(folder)), "-c", "import bpy, infinigen"], 300.0, folder)
        write_text(folder / MARKER, "\n".join(REQUIREMENTS) + "\n")
    except (AssetError, OSError) as fault:
        raise AssetError(
            f"Infinigen's environment can't be made in {folder}: {fault}.\n"
            "It needs a network and 4 GB; `--grower own` grows assets without either."
        ) from None


def _make_empty(folder: Path) -> None:
    """Throws away half of an environment, and nothing else."""
    if (folder / BEGUN).is_file():
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise AssetError(
            f"{folder} holds something else than Infinigen's environment. Name an empty folder, or "
            "one that isn't there yet."
        )


def grow_infinigen(
    kind: str,
    seed: int,
    folder: Path | None = None,
    name: str | None = None,
    limit_s: float = 1800.0,
    run: Run = run_process,
) -> tuple[Asset, Description]:
    """Grow one asset; an animal takes one to four minutes on two cores.

    Args:
        kind: bird, carnivore, herbivore or rock.
        seed: Decides everything; 1 or more.
        folder: The environment; the user's when None.
        name: What to call it; kind and seed when None.
        limit_s: Time that may pass, in seconds.
        run: What runs a command.

    Raises:
        AssetError: for another kind, without the environment, or when Infinigen fails.
    """
    if checked_kind(kind) not in FACTORIES or seed < 1:
        raise AssetError(
            f"Infinigen grows {', '.join(FACTORIES)} here, from seed 1 on; not {kind} {seed}."
        )
    folder = environment_folder() if folder is None else folder
    python = str(_python_in(folder))
    with tempfile.TemporaryDirectory() as place:
        work = Path(place)
        factory = FACTORIES[kind]
        try:
            run([python, "-m", *_generate(factory, seed, work)], limit_s, work)
            finish = [python, str(FINISHER), str(work), str(work / "finished.glb")]
            run(finish, limit_s, work)
        except AssetError as fault:
            raise AssetError(f"Infinigen could not grow {kind} {seed}: {fault}.") from None
        return _imported(work / "finished.glb", kind, seed, name or f"infinigen_{kind}_{seed}")


def _generate(factory: str, seed: int, work: Path) -> list[str]:
    return [
        "infinigen_examples.generate_individual_assets", "--output_folder", str(work),
        "-f", factory, "-n", "1", "--seed", str(seed), "--no_ground", "--render", "none",
        "--export", "obj", "--export_texture_res", "1024",
    ]  # fmt: skip


def _imported(path: Path, kind: str, seed: int, name: str) -> tuple[Asset, Description]:
    height = float(np.random.default_rng([seed, 0x1F]).uniform(*HEIGHTS_M[kind]))
    phrases = (kind, "animal") if kind != "rock" else ("boulder", "rock")
    asset = import_mesh(path, name, kind, phrases, ImportSpec(front="x", height_m=height))
    provenance = {"source": "Infinigen 1.15.5", "factory": FACTORIES[kind], "seed": seed}
    asset = replace(asset, provenance=provenance)
    return asset, Description(kind, kind, phrases, "BSD-3-Clause", provenance)


def _python_in(folder: Path) -> Path:
    windows = folder / "Scripts" / "python.exe"
    return windows if windows.exists() else folder / "bin" / "python"


def _python_311() -> str:
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        raise AssetError(
            "Infinigen needs Python 3.11, which this machine lacks; install it, or use "
            "`--grower own`."
        )
    return found
