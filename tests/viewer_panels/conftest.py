"""The tiny run of the method's tests, in nerfstudio's viewer on a port of the loopback."""

from __future__ import annotations

import importlib.util
import socket
import sys
from pathlib import Path
from threading import Lock

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from waiting import wait_until

_FOLDER = Path(__file__).parents[1] / "methods" / "lerf_wild"
_SPEC = importlib.util.spec_from_file_location("method_fixtures", _FOLDER / "conftest.py")
_FIXTURES = importlib.util.module_from_spec(_SPEC)
sys.modules["method_fixtures"] = _FIXTURES
_SPEC.loader.exec_module(_FIXTURES)

session_patch = _FIXTURES.session_patch
stand_in_encoders = _FIXTURES.stand_in_encoders
scene = _FIXTURES.scene
settled = _FIXTURES.settled


OF_THE_VIEWER = ("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def pytest_collection_modifyitems(items):
    """Warnings of nerfstudio and torchmetrics on current torch are no failures of ours."""
    from lerf_wild.methods.lerf_wild.pipeline import NOISE

    for item in items:
        if Path(__file__).parent in item.path.parents:
            # nerfstudio's viewer reads every attribute of every module, deprecated ones too.
            for rule in (*(f"ignore:{message}" for message in NOISE), *OF_THE_VIEWER):
                item.add_marker(pytest.mark.filterwarnings(rule))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def viewer(settled):
    """nerfstudio's viewer of the tiny run, as ns-viewer starts it, without a browser."""
    from nerfstudio.configs.base_config import ViewerConfig
    from nerfstudio.viewer.viewer import Viewer

    pipeline, run = settled.pipeline, settled.base_dir
    pipeline.eval()
    pipeline.model.set_query(None)
    # As a loaded checkpoint has it, which is what the command line works on.
    pipeline.model.proposal_sampler.set_anneal(1.0)
    config = ViewerConfig(websocket_host="127.0.0.1", websocket_port=free_port())
    viewer = Viewer(
        config,
        log_filename=run / "viewer_log.txt",
        datapath=pipeline.datamanager.get_datapath(),
        pipeline=pipeline,
        train_lock=Lock(),
    )
    viewer.step = 250
    yield viewer
    viewer.viser_server.stop()
    pipeline.model._live = None
    pipeline.model.set_query(None)


@pytest.fixture()
def panel(viewer):
    """The panel, empty and with its defaults."""
    from lerf_wild.live.state import PanelState

    panel = viewer.pipeline.relevancy_panel
    panel._change(lambda old: PanelState())
    wait_until(lambda: viewer.pipeline.model.query is None)
    return panel
