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


class FakeClient:
    """Stands where a browser is connected: takes pictures and counts them."""

    client_id = 99

    def __init__(self, camera):
        self.pictures = []
        self.camera = type("Camera", (), {"aspect": 1.0})()
        self.scene = self
        self.pose = camera

    def set_background_image(self, picture, **_):
        self.pictures.append(picture)


@pytest.fixture()
def screen(viewer, panel, monkeypatch):
    """A render thread as nerfstudio starts it for a browser, guarded by the panel."""
    from nerfstudio.cameras.cameras import CameraType
    from nerfstudio.viewer.render_state_machine import RenderAction, RenderStateMachine
    from nerfstudio.viewer.utils import CameraState
    from nerfstudio.viewer.viewer import VISER_NERFSTUDIO_SCALE_RATIO

    pose = viewer.pipeline.datamanager.train_dataset.cameras.camera_to_worlds[0]
    client = FakeClient(pose)
    state = CameraState(fov=0.9, aspect=1.0, c2w=pose, camera_type=CameraType.PERSPECTIVE)
    monkeypatch.setattr(viewer, "get_camera_state", lambda client: state)
    monkeypatch.setattr(viewer.viser_server, "get_clients", lambda: {client.client_id: client})
    viewer.control_panel._max_res.value = 64
    machine = RenderStateMachine(viewer, VISER_NERFSTUDIO_SCALE_RATIO, client)
    viewer.render_statemachines[client.client_id] = machine
    machine.start()
    machine.action(RenderAction("rerender", state))
    wait_until(lambda: client.pictures)
    yield machine
    machine.running = False
    machine.join(10)
    viewer.render_statemachines.pop(client.client_id)
