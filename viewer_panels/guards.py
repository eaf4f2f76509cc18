"""Keeps nerfstudio's render threads alive, whatever happens while they render.

The thread ends on any exception but its own interrupt, and the viewer then shows nothing for good;
and while a browser is open it goes on into the end of the process.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from nerfstudio.viewer.utils import get_camera
from nerfstudio.viewer_legacy.server.viewer_utils import IOChangeException

from lerf_wild.methods.lerf_wild.live_views import LiveViews
from lerf_wild.viewer_panels.workers import stop_at_exit

OnTrouble = Callable[[BaseException], None]

PAUSE_S = 0.2
"""Between an exception and the next try, so that a lasting fault doesn't fill a core."""

MAX_STRETCH = 0.02
"""Largest difference in aspect between a kept view and a window that are taken for the same."""


class GuardedMachines(dict):
    """nerfstudio's table of render threads; each one that is put in is guarded first."""

    def __init__(self, live: LiveViews, on_trouble: OnTrouble) -> None:
        super().__init__()
        self._live = live
        self._on_trouble = on_trouble

    def __setitem__(self, client_id: int, machine: Any) -> None:
        guard(machine, self._live, self._on_trouble)
        super().__setitem__(client_id, machine)


def guard(machine: Any, live: LiveViews, on_trouble: OnTrouble) -> None:
    """Makes a render thread go on after exceptions, and show new phrases in full at once."""
    render, run, resolution = machine._render_img, machine.run, machine._calculate_image_res
    asked: list[Any] = [None]

    def safe_render(camera_state: Any) -> Any:
        asked[0] = camera_state
        try:
            return render(camera_state)
        except IOChangeException:
            raise
        except Exception as error:
            on_trouble(error)
        try:
            # What failed has been taken out or made smaller by now.
            return render(camera_state)
        except Exception as error:
            if not isinstance(error, IOChangeException):
                on_trouble(error)
                time.sleep(PAUSE_S)
            raise IOChangeException from error

    def kept_resolution(aspect: float) -> tuple[int, int]:
        usual = resolution(aspect)
        if machine.state == "high" or asked[0] is None:
            return usual
        kept = live.resolution_of(get_camera(asked[0], 100))
        is_fit = kept is not None and abs(kept[1] / kept[0] - aspect) < MAX_STRETCH * aspect
        # A view that is kept at full size costs nothing to show at full size.
        return kept if is_fit and kept[0] >= usual[0] else usual

    def run_on() -> None:
        while machine.running:
            try:
                run()
            except Exception as error:
                on_trouble(error)
                time.sleep(PAUSE_S)

    def stop() -> None:
        machine.running = False
        machine.interrupt_render_flag = True
        machine.render_trigger.set()

    machine._render_img = safe_render
    machine._calculate_image_res = kept_resolution
    machine.run = run_on
    machine.stop = stop
    stop_at_exit(machine)


def trouble_text(error: BaseException) -> str:
    """Returns one line for the panel."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return "Out of memory: rendering in smaller pieces and without kept views."
    first = (str(error).strip().splitlines() or [""])[0]
    return f"{first or type(error).__name__}"[:300]
