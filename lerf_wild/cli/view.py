"""`lerf-wild view`: the viewer, for this machine only unless asked otherwise."""

import ipaddress
from pathlib import Path

from rich.console import Console

from lerf_wild.cli.phrases import read_phrases
from lerf_wild.cli.runs import open_run
from lerf_wild.errors import InputError

LOOPBACK = "127.0.0.1"


def view(
    load_config: Path,
    phrases: tuple[str, ...] = (),
    host: str = LOOPBACK,
    port: int = 7007,
    data: Path | None = None,
) -> None:
    """Opens a run in nerfstudio's viewer; phrases can be typed there too.

    To look from elsewhere: ssh -L 7007:127.0.0.1:7007 USER@MACHINE. The viewer's web server gives
    any file to whoever reaches it, so other addresses than the loopback are a risk.

    Args:
        load_config: The run's config.yml.
        phrases: What to look for from the start.
        host: Address to listen on.
        port: Port to listen on.
        data: Where the capture is now, if it has been moved.
    """
    wanted = read_phrases(phrases, None) if phrases else ()
    _check_address(host, port)
    run = open_run(load_config, data, takes_splats=True)
    from nerfstudio.scripts.viewer.run_viewer import ViewerConfigWithoutNumRays, _start_viewer

    if wanted:
        run.model.set_phrases(wanted)
    if not is_loopback(host):
        Console(stderr=True).print(
            f"Listening on {host}: whoever reaches port {port} can read this machine's files.",
            style="bold red",
        )
    rays = run.config.viewer.num_rays_per_chunk
    run.config.vis = "viewer"
    run.config.viewer = ViewerConfigWithoutNumRays(
        websocket_host=host, websocket_port=port, num_rays_per_chunk=rays
    ).as_viewer_config()
    run.config.viewer.relative_log_filename = str(run.folder.resolve() / "viewer_log_filename.txt")
    _start_viewer(run.config, run.pipeline, run.step)


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_address(host: str, port: int) -> None:
    if not 1 <= port <= 65535:
        raise InputError(f"--port must be 1 to 65535, got {port}.")
    if not host or len(host) > 253 or any(letter.isspace() for letter in host):
        raise InputError(f"--host must be an address such as {LOOPBACK}, got {host[:40]!r}.")
