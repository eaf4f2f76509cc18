"""LPIPS, whose network is downloaded when it is first asked for, or left out where it can't be."""

from __future__ import annotations

import contextlib
import io
import socket
import warnings
from collections.abc import Callable, Iterator

from torch import nn

DOWNLOAD_TIMEOUT_S = 5.0


def lpips() -> nn.Module:
    """torchmetrics' LPIPS (AlexNet) for pictures in 0-1; raises whatever a download does."""
    from torchmetrics.image.lpip import LearnedPerceptualImagePatchSimilarity

    return LearnedPerceptualImagePatchSimilarity(net_type="alex", normalize=True)


def build_or_none(build: Callable[[], nn.Module]) -> tuple[nn.Module | None, str]:
    """A network that may have to be downloaded, and why it can't be had where it is None.

    Nothing is written to the terminal, and nobody waits longer than some seconds.
    """
    previous = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT_S)
    try:
        # torch.hub writes a line and a bar of its own into whatever is being shown.
        with warnings.catch_warnings(), _unheard():
            warnings.simplefilter("ignore")
            return build(), ""
    # Offline it is a URLError, behind a proxy an HTTPError, on a bad file a RuntimeError.
    except Exception as error:
        return None, str(error)
    finally:
        socket.setdefaulttimeout(previous)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    nothing = io.StringIO()
    with contextlib.redirect_stdout(nothing), contextlib.redirect_stderr(nothing):
        yield
