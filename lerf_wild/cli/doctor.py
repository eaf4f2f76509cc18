"""`lerf-wild doctor`: what is installed, what will be used, what is missing and how to get it.

Nothing here asks the network, so it answers at once on a machine without one.
"""

import contextlib
import io
import platform
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lerf_wild import __version__
from lerf_wild.cli.report import JsonFile, device_name, installed_version, write_report
from lerf_wild.errors import LerfWildError
from lerf_wild.storage.cache import default_cache_root

FREE_SPACE_MB = 2000
"""Free space below which the cache of a large capture may not fit, in megabytes."""

EXTRAS = {"ray": "ray", "flux": "diffusers", "llm": "peft", "usd": "pxr", "blender": "bpy"}
"""Optional extra -> the module that tells whether it is installed."""


@dataclass(frozen=True)
class Finding:
    """One line of the table."""

    part: str
    state: Literal["ok", "optional", "missing"]
    detail: str
    remedy: str = ""


def doctor(json_file: JsonFile = None) -> None:
    """Lists what is installed, what will be used, and how to get what is missing.

    Exits with code 1 when something that lerf-wild can't do without is missing.

    Args:
        json_file: Where to write the findings as JSON.
    """
    findings = examine()
    console = Console(soft_wrap=False)
    console.print(_table(findings))
    for finding in findings:
        if finding.remedy:
            text = f"[bold]{finding.part}[/bold]: {escape(finding.remedy)}"
            console.print(text, soft_wrap=True, highlight=False)
    missing = [finding.part for finding in findings if finding.state == "missing"]
    console.print(f"Missing: {', '.join(missing)}." if missing else "Nothing needed is missing.")
    states = {_key(finding.part): finding.state for finding in findings}
    details = {f"{_key(finding.part)}_detail": finding.detail for finding in findings}
    remedies = {f"{_key(finding.part)}_remedy": finding.remedy for finding in findings}
    write_report(json_file, {"missing": len(missing), **states, **details, **remedies})
    if missing:
        raise SystemExit(1)


def examine() -> list[Finding]:
    """Returns the findings in the order of the table; a check that fails becomes a finding."""
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("python", _python),
        ("torch", _torch),
        ("libraries", _libraries),
        ("tiny-cuda-nn", _tiny_cuda_nn),
        ("bundled weights", _bundled_weights),
        ("downloaded weights", _downloaded_weights),
        ("extras", _extras),
        ("cache", _cache),
        ("checkpoints", _checkpoints),
        ("viewer", _viewer),
    ]
    findings = []
    for part, check in checks:
        try:
            findings += check()
        # A broken installation may raise anything at import, and the table must still appear.
        except Exception as error:
            detail = f"{type(error).__name__}: {error}".splitlines()[0][:160]
            findings.append(Finding(part, "missing", detail, "Install it again: `make setup`."))
    return findings


def _python() -> list[Finding]:
    version = platform.python_version()
    ok = ("3", "10") <= tuple(version.split(".")[:2]) <= ("3", "12")
    remedy = "" if ok else "Use Python 3.10, 3.11 or 3.12: remove .venv, then `make setup`."
    own = Finding("lerf-wild", "ok", __version__)
    return [own, Finding("python", "ok" if ok else "missing", version, remedy)]


def _torch() -> list[Finding]:
    import torch

    if torch.cuda.is_available():
        memory_gb = torch.cuda.get_device_properties(0).total_memory / 1e9
        gpu = Finding("GPU", "ok", f"{device_name()}, {memory_gb:.0f} GB")
    else:
        remedy = "Train `lerf-wild-tiny` here; the larger sizes want an NVIDIA GPU and its driver."
        gpu = Finding("GPU", "optional", device_name(), remedy)
    return [Finding("torch", "ok", torch.__version__), gpu]


def _libraries() -> list[Finding]:
    findings = []
    for name in ("nerfstudio", "open_clip_torch", "transformers", "trimesh", "embreex"):
        version = installed_version(name)
        remedy = "" if version else f"`pip install {name}`"
        findings.append(
            Finding(name, "ok" if version else "missing", version or "not installed", remedy)
        )
    return findings


def _tiny_cuda_nn() -> list[Finding]:
    part = "tiny-cuda-nn"
    if find_spec("tinycudann") is not None:
        return [Finding(part, "ok", "installed; used when a GPU is there")]
    remedy = (
        "With a GPU and nvcc: `pip install --no-build-isolation "
        "git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch`"
    )
    return [Finding(part, "optional", "not installed; torch's own grids are used", remedy)]


def _bundled_weights() -> list[Finding]:
    from lerf_wild.language.wild_clip import locate_wild_clip

    try:
        source = locate_wild_clip()
    except LerfWildError as error:
        detail, _, remedy = str(error).partition("\n")
        return [Finding("wild-clip", "missing", detail, remedy or "Install lerf-wild again.")]
    return [Finding("wild-clip", "ok", f"bundled, {source.identity}")]


def _downloaded_weights() -> list[Finding]:
    from lerf_wild.language import dino, hub, registry

    wanted = {
        f"CLIP {registry.DEFAULT_MODEL}": (registry.DEFAULT_REPO, registry.WEIGHT_NAMES),
        f"DINO {dino.DEFAULT_DINO}": (dino.DEFAULT_DINO, ("model.safetensors",)),
    }
    findings = []
    for part, (repo, names) in wanted.items():
        path = hub.find_cached(repo, names)
        if path is not None:
            findings.append(Finding(part, "ok", f"cached, {path.stat().st_size / 1e6:.0f} MB"))
            continue
        remedy = f"Where there is a network: `hf download {repo} {names[0]}`"
        findings.append(Finding(part, "optional", "not cached; the bundled one is used", remedy))
    return findings


def _extras() -> list[Finding]:
    findings = []
    for extra, module in EXTRAS.items():
        installed = find_spec(module) is not None
        remedy = "" if installed else f'In the checkout: `pip install -e ".[{extra}]"`'
        state, detail = ("ok", "installed") if installed else ("optional", "not installed")
        findings.append(Finding(f"extra {extra}", state, detail, remedy))
    return findings


def _cache() -> list[Finding]:
    root = default_cache_root()
    existing = next(path for path in (root, *root.absolute().parents) if path.exists())
    free_mb = shutil.disk_usage(existing).free / 1e6
    detail = f"{root}, {free_mb / 1000:.1f} GB free"
    elsewhere = "Name another folder in the environment variable LERF_WILD_CACHE."
    if not _is_writable(existing):
        return [Finding("cache", "missing", f"{root} can't be written", elsewhere)]
    if free_mb < FREE_SPACE_MB:
        return [Finding("cache", "optional", detail, f"Free some space. {elsewhere}")]
    return [Finding("cache", "ok", detail)]


def _is_writable(folder: Path) -> bool:
    with contextlib.suppress(OSError), tempfile.TemporaryFile(dir=folder):
        return True
    return False


def _checkpoints() -> list[Finding]:
    """Saves and loads what a run of ours saves, the way nerfstudio does."""
    import torch

    from lerf_wild.schedulers import ExponentialDecayConfig

    optimiser = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))], lr=1e-2)
    scheduler = (
        ExponentialDecayConfig(lr_final=1e-3, max_steps=10)
        .setup()
        .get_scheduler(optimiser, lr_init=1e-2)
    )
    buffer = io.BytesIO()
    torch.save({"a": optimiser.state_dict(), "b": scheduler.state_dict()}, buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=True)  # noqa: TID251
    return [Finding("checkpoints", "ok", "runs of lerf-wild load with torch's safe reader")]


def _viewer() -> list[Finding]:
    version = installed_version("viser")
    if version is None:
        return [Finding("viewer", "missing", "viser is not installed", "`pip install viser`")]
    # viser's web server joins request paths without a check, and listens on every interface.
    detail = f"viser {version}; give ns-viewer `--viewer.websocket-host 127.0.0.1`"
    return [Finding("viewer", "ok", detail)]


def _table(findings: list[Finding]) -> Table:
    colours = {"ok": "green", "optional": "yellow", "missing": "bold red"}
    table = Table("part", "state", "detail", title="lerf-wild doctor", title_justify="left")
    for finding in findings:
        colour = colours[finding.state]
        table.add_row(finding.part, f"[{colour}]{finding.state}[/{colour}]", escape(finding.detail))
    return table


def _key(part: str) -> str:
    kept = "".join(letter if letter.isalnum() else "_" for letter in part.lower())
    return kept.strip("_")
