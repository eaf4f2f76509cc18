"""The command lines that do what the panel did."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from lerf_wild.language.phrases import CANONICAL_PHRASES


def export_command(
    config_path: Path,
    phrases: Sequence[str],
    canonical: Sequence[str],
    output_dir: Path,
    kind: str,
    num_points: int,
) -> str:
    """Returns the `lerf-wild export` line that writes the same cloud, quoted for a shell."""
    words = ["lerf-wild", "export", "--load-config", str(config_path), "--phrases", *phrases]
    words += ["--output-dir", str(output_dir), "--format", kind, "--num-points", str(num_points)]
    if tuple(canonical) != CANONICAL_PHRASES:
        words += ["--canonical", *canonical]
    return shlex.join(words)
