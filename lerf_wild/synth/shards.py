"""WebDataset shards whose bytes depend on the job alone, not on who writes them or when.

A dataset is a number of units (scenes, images), each of which gives one sample or more. A shard is
a tar that holds a fixed range of units; `job.json` is written first and says what the shards are
made of, `index.json` last and lists them with their hashes. A shard is renamed into place when it
is complete, so a killed run goes on where it stopped, and ends with the same files.
"""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lerf_wild.errors import DatasetError, InputError
from lerf_wild.storage.atomic import TEMPORARY_SUFFIX, write_bytes, write_json
from lerf_wild.storage.hashes import file_sha256
from lerf_wild.storage.json_files import read_json
from lerf_wild.storage.safe_paths import inside

Sample = tuple[str, Mapping[str, bytes]]
"""Key and parts of a sample; a part's name is what follows the key's dot: "png", "mask.png"."""
Maker = Callable[[int], Sequence[Sample]]
"""Gives the samples of a unit by its number; it must be picklable, and draw from nothing but the
number and what it was made with."""
RUNNERS = ("local", "processes", "ray")
MAX_PART_BYTES = 256 << 20
JOB_FILE, INDEX_FILE = "job.json", "index.json"


@dataclass(frozen=True)
class ShardPlan:
    """Which units go into which shard."""

    units: int
    per_shard: int = 250

    def __post_init__(self) -> None:
        if self.units < 1 or self.per_shard < 1:
            raise InputError(
                f"Ask for at least 1 in all and 1 a shard, not {self.units} and {self.per_shard}."
            )

    @property
    def shards(self) -> int:
        """Number of shards."""
        return -(-self.units // self.per_shard)

    def range_of(self, shard: int) -> range:
        """Units of a shard."""
        start = shard * self.per_shard
        return range(start, min(start + self.per_shard, self.units))

    def name_of(self, shard: int) -> str:
        """File name of a shard."""
        return f"{shard:06d}.tar"


def write_dataset(
    folder: Path,
    make: Maker,
    plan: ShardPlan,
    about: Mapping[str, Any],
    runner: str = "local",
    workers: int = 0,
    on_units: Callable[[int], None] = lambda count: None,
) -> list[Path]:
    """Writes the shards that are still missing, then the index; returns all shards.

    Args:
        folder: Where to; made when missing.
        make: What gives the samples.
        plan: Which units go where.
        about: Everything that decides the bytes, as JSON values; a folder that was begun with
            anything else is refused.
        runner: One of `RUNNERS`: in this process, in several here, or by Ray.
        workers: How many at a time; 0 takes one for each core.
        on_units: Told of the units of each shard that is there.

    Raises:
        DatasetError: the folder holds another dataset.
        InputError: the runner is unknown, or Ray is missing.
    """
    if runner not in RUNNERS:
        raise InputError(f"There is no runner {runner[:40]!r}; use one of {', '.join(RUNNERS)}.")
    _begin(folder, plan, about)
    paths = [folder / plan.name_of(shard) for shard in range(plan.shards)]
    missing = [shard for shard, path in enumerate(paths) if not path.exists()]
    on_units(sum(len(plan.range_of(s)) for s in range(plan.shards) if s not in set(missing)))
    count = workers if workers > 0 else os.cpu_count() or 1
    for shard in _RUN[runner](folder, make, plan, missing, count):
        on_units(len(plan.range_of(shard)))
    listing = [{"name": path.name, "sha256": file_sha256(path)} for path in paths]
    write_json(folder / INDEX_FILE, {"format": 1, "units": plan.units, "shards": listing})
    return paths


def write_shard(folder: Path, make: Maker, plan: ShardPlan, shard: int) -> int:
    """Makes and writes one shard; returns its number."""
    write_bytes(folder / plan.name_of(shard), shard_bytes(make, plan, shard))
    return shard


def shard_bytes(make: Maker, plan: ShardPlan, shard: int) -> bytes:
    """The tar of a shard: plain headers without times, owners or anything of the machine."""
    stream = io.BytesIO()
    with _one_thread(), tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for unit in plan.range_of(shard):
            for key, parts in make(unit):
                for name in sorted(parts):
                    header = tarfile.TarInfo(f"{key}.{name}")
                    header.size, header.mode = len(parts[name]), 0o644
                    tar.addfile(header, io.BytesIO(parts[name]))
    return stream.getvalue()


def read_dataset(folder: Path) -> Iterator[Sample]:
    """The samples of a folder that `write_dataset` has finished, in order.

    Raises:
        DatasetError: the folder was not finished, or the index or a shard is missing or broken.
    """
    index = folder / INDEX_FILE
    if (folder / JOB_FILE).exists() and not index.exists():
        raise DatasetError(
            f"{folder}: its shards are not all there. Give the command that began it again; it "
            "goes on where it was stopped."
        )
    listing = read_json(index)
    shards = listing.get("shards") if isinstance(listing, dict) else None
    if not isinstance(shards, list) or not all(isinstance(s, dict) for s in shards):
        raise DatasetError(f"{index}: no list of shards. Write the dataset again.")
    for shard in shards:
        yield from read_shard(inside(folder, str(shard.get("name"))))


def read_shard(path: Path) -> Iterator[Sample]:
    """The samples of one WebDataset tar, from wherever it comes.

    Raises:
        DatasetError: the file is missing, cut off, or no such tar.
    """
    key, parts = "", {}
    try:
        with tarfile.open(path) as tar:
            for entry in tar:
                if not entry.isfile():
                    continue
                if entry.size > MAX_PART_BYTES:
                    raise DatasetError(f"{path}: {entry.name[:80]} has {entry.size} bytes.")
                stem, _, name = entry.name.rpartition("/")[2].partition(".")
                if stem != key and parts:
                    yield key, parts
                    parts = {}
                key, content = stem, tar.extractfile(entry)
                parts[name] = content.read() if content is not None else b""
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such shard. Check the path, or write it again.") from None
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"{path}: not a readable tar ({str(error)[:100]}).") from None
    if parts:
        yield key, parts


def _begin(folder: Path, plan: ShardPlan, about: Mapping[str, Any]) -> None:
    job = {"format": 1, "units": plan.units, "per_shard": plan.per_shard, "about": dict(about)}
    path = folder / JOB_FILE
    if path.exists():
        if read_json(path) != job:
            raise DatasetError(
                f"{folder}: holds a dataset of other settings. Repeat those to go on with it, or "
                "choose another folder."
            )
    elif folder.exists() and any(folder.glob("*.tar")):
        raise DatasetError(f"{folder}: holds shards that this didn't write; choose another folder.")
    else:
        write_json(path, job)
    for stray in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        stray.unlink(missing_ok=True)


def _locally(folder, make, plan, shards, workers) -> Iterator[int]:
    for shard in shards:
        yield write_shard(folder, make, plan, shard)


def _in_processes(folder, make, plan, shards, workers) -> Iterator[int]:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    # Threads of libraries don't survive a fork, so workers start afresh.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(shards)) or 1, mp_context=context) as pool:
        jobs = [pool.submit(write_shard, folder, make, plan, shard) for shard in shards]
        yield from (job.result() for job in as_completed(jobs))


def _with_ray(folder, make, plan, shards, workers) -> Iterator[int]:
    try:
        import ray
    except ImportError:
        raise InputError("Ray isn't installed: pip install 'lerf-wild[ray]'.") from None
    is_ours = not ray.is_initialized()
    if is_ours:
        _start_ray(ray, workers)
    try:
        # Shards come back as bytes, so that workers need not share a file system.
        task = ray.remote(shard_bytes)
        waiting = {task.remote(make, plan, shard): shard for shard in shards}
        while waiting:
            (done, *_), _ = ray.wait(list(waiting))
            shard = waiting.pop(done)
            write_bytes(folder / plan.name_of(shard), ray.get(done))
            yield shard
    finally:
        if is_ours:
            ray.shutdown()


def _start_ray(ray: Any, workers: int) -> None:
    try:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    # Ray raises a bare Exception when a busy machine takes longer than its 30 seconds.
    except Exception as error:
        ray.shutdown()
        reason = str(error).split(".")[0][:120]
        raise InputError(
            f"Ray can't start here ({reason}). Try again when the machine is less busy, or start a "
            "cluster first with `ray start --head`."
        ) from None


_RUN = {"local": _locally, "processes": _in_processes, "ray": _with_ray}


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for torch inside the block: sums must not depend on the number of cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
