"""The tiny run of the method's tests, in nerfstudio's viewer on a port of the loopback."""

from __future__ import annotations

import socket
from pathlib import Path
from threading import Lock

import pytest
from third_parties import NERFSTUDIO_VIEWER, let_pass
from waiting import wait_until
from wall_run import scene, settled, stand_in_cache, stand_in_encoders


def pytest_collection_modifyitems(items):
    let_pass(items, Path(__file__).parent, *NERFSTUDIO_VIEWER)


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
