import subprocess
import sys
from pathlib import Path

import torch

from lerf_wild.inverse.side_by_side import Processes, join_processes, part_from_processes

PROGRAM = """
import sys
from pathlib import Path
import torch
from lerf_wild.inverse.side_by_side import join_processes, part_from_processes

processes = join_processes()
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1, bias=False))
net[0].bias.requires_grad_(False)
rows = torch.arange(24.0).view(8, 3).cos()
net(rows[processes.rank :: processes.count]).square().mean().backward()
processes.take_mean_gradients(net.parameters())
told = processes.as_first_says(0.1 + processes.rank)
gradients = [p.grad for p in net.parameters() if p.grad is not None]
torch.save((processes.rank, told, gradients), Path(sys.argv[1]) / f"{processes.rank}.pt")
part_from_processes(processes)
"""


def test_one_process_alone_changes_nothing():
    processes = join_processes()
    layer = torch.nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    before = layer.weight.grad.clone()

    processes.take_mean_gradients(layer.parameters())
    part_from_processes(processes)

    assert processes == Processes(rank=0, count=1)
    assert torch.equal(layer.weight.grad, before)
    assert processes.as_first_says(0.25) == 0.25


def test_two_processes_step_by_the_gradient_of_all_their_crops(tmp_path: Path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    launch = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--standalone",
    ]

    subprocess.run([*launch, str(script), str(tmp_path)], check=True, timeout=300)
    subprocess.run([sys.executable, str(script), str(tmp_path.parent)], check=True, timeout=300)

    alone = torch.load(tmp_path.parent / "0.pt", weights_only=True)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert [one[0] for one in found] == [0, 1]
    assert [one[1] for one in found] == [alone[1]] * 2
    for first, second, whole in zip(found[0][2], found[1][2], alone[2], strict=True):
        assert torch.equal(first, second)
        torch.testing.assert_close(first, whole)
