"""Weights on the Hugging Face hub: found in the local cache, or fetched after one short probe.

The client retries for minutes when a network is there but leads nowhere. So the cache is asked
first, and one request with a hard limit decides whether to download at all.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path

from lerf_wild.errors import EncoderError
from lerf_wild.storage.hashes import file_sha256

PROBE_TIMEOUT_S = 2.0
"""Limit of the probe's connection, and of its answer."""

PROBE_LIMIT_S = 3.0
"""Limit of the whole probe: a name server that never answers knows no timeout."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def find_cached(repo: str, names: Sequence[str]) -> Path | None:
    """Returns the first of the files that is in the local cache, without any network."""
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repo, name)
        if isinstance(found, str):
            return Path(found)
    return None


def obtain(repo: str, names: Sequence[str], local_only: bool = False) -> Path:
    """Returns the first of the files that can be had, downloading it when it is not cached.

    Raises EncoderError, within PROBE_LIMIT_S when there is no network, naming the remedies.
    """
    cached = find_cached(repo, names)
    if cached is not None:
        return cached
    if local_only or is_offline():
        raise EncoderError(_remedies(repo, names, "not cached, and downloads are switched off"))
    if not is_reachable(repo, names[0]):
        raise EncoderError(_remedies(repo, names, "not cached, and huggingface.co is out of reach"))
    return _download(repo, names)


def is_offline() -> bool:
    """Returns whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids downloads."""
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)


def is_reachable(repo: str, name: str) -> bool:
    """Returns whether the hub answers for a repository within PROBE_LIMIT_S, proxies included."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    answered = threading.Event()

    def probe() -> None:
        try:
            get_hf_file_metadata(hf_hub_url(repo, name), timeout=PROBE_TIMEOUT_S)
            answered.set()
        except HfHubHTTPError:
            # The hub said no to this file: it is reachable, and the download will say why.
            answered.set()
        except Exception:
            # No network shows as any of a dozen exceptions of several HTTP libraries.
            return

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(PROBE_LIMIT_S)
    return answered.is_set()


def weights_sha256(path: Path) -> str:
    """Returns the sha256 of a weight file; in the hub's cache the file is named after it."""
    blob = path.resolve().name
    return blob if _SHA256.fullmatch(blob) else file_sha256(path)


def _download(repo: str, names: Sequence[str]) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    for name in names:
        try:
            return Path(hf_hub_download(repo, name))
        except EntryNotFoundError:
            continue
        except Exception as error:
            # The download can fail as the probe can, and also for a full disk or a refused token.
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
            raise EncoderError(_remedies(repo, names, f"download failed: {reason}")) from None
    raise EncoderError(_remedies(repo, names, "the repository has no such file"))


def _remedies(repo: str, names: Sequence[str], problem: str) -> str:
    return (
        f"{names[0]} of {repo}: {problem}.\n"
        f"Run `hf download {repo}` where there is a network, name a local folder that holds the "
        "files, or use the bundled wild-clip."
    )
