"""The door for config.yml: nerfstudio's own kind comes through whole, all else is refused."""

from __future__ import annotations

import base64
import copy
import io
import pickle
from fractions import Fraction
from pathlib import Path

import pytest
import torch
import yaml

from lerf_wild.cli.run_config import _packages, read_config

HOSTILE = (
    "!!python/object/apply:os.system ['touch FLAG']",
    "!!python/object/apply:subprocess.check_output [['touch', 'FLAG']]",
    "!!python/object/apply:builtins.exec [\"open('FLAG', 'w')\"]",
    "!!python/object/new:builtins.eval [\"open('FLAG', 'w')\"]",
    "!!python/object/new:os.system ['touch FLAG']",
    "a: &x !!python/name:os.system\nb: *x",
    "!!python/name:builtins.eval",
    "!!python/module:os",
    "!!python/object:subprocess.Popen {args: touch FLAG}",
    "!!python/object/apply:nerfstudio.utils.scripts.run_command ['touch FLAG']",
    "!!python/object/apply:torch.hub.load ['somebody/repo', model]",
    "!!python/object/apply:pathlib.os.system ['touch FLAG']",
    "!!python/object/apply:nerfstudio.utils.scripts.subprocess.run [[touch, FLAG]]",
    "!!python/object/new:tuple [!!python/object/apply:os.system ['touch FLAG']]",
    "!!python/object:nerfstudio.configs.base_config.ViewerConfig {__class__: a}",
    "!!python/object:lerf_wild.schedulers.LinearDecayConfig {__dict__: {}}",
)


class Touching:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_config_is_refused_and_not_called(tmp_path, text):
    flag, path = tmp_path / "flag", tmp_path / "config.yml"
    path.write_text(text.replace("FLAG", str(flag)))
    with pytest.raises(yaml.YAMLError):
        read_config(path)
    assert not flag.exists()


def test_tensors_are_read_and_pickles_in_their_place_are_not(tmp_path):
    path, flag = tmp_path / "config.yml", tmp_path / "flag"
    path.write_text(yaml.dump({"box": torch.arange(6.0).reshape(2, 3)}))
    torch.testing.assert_close(read_config(path)["box"], torch.arange(6.0).reshape(2, 3))
    stream = io.BytesIO()
    torch.save(Touching(flag), stream)
    for data in (stream.getvalue(), pickle.dumps(Touching(flag), protocol=2)):
        word = base64.b64encode(data).decode()
        path.write_text(f"!!python/object/apply:torch.storage._load_from_bytes [!!binary '{word}']")
        with pytest.raises((yaml.YAMLError, pickle.UnpicklingError, RuntimeError, EOFError)):
            read_config(path)
    assert not flag.exists()


def test_configs_of_all_our_methods_come_through_whole(tmp_path):
    from lerf_wild import registry

    path = tmp_path / "config.yml"
    for name in registry.METHODS:
        config = copy.deepcopy(getattr(registry, name).config)
        config.output_dir = config.data = tmp_path
        path.write_text(yaml.dump(config))
        assert yaml.dump(read_config(path)) == yaml.dump(config)


def test_plugins_of_the_user_may_be_named(tmp_path, monkeypatch):
    path = tmp_path / "config.yml"
    path.write_text("!!python/name:fractions.Fraction\n")
    _packages.cache_clear()
    with pytest.raises(yaml.YAMLError, match="no config is made of"):
        read_config(path)
    monkeypatch.setenv("NERFSTUDIO_DATAPARSER_CONFIGS", "own=fractions:Fraction,b=fractions.x:y")
    _packages.cache_clear()
    assert read_config(path) is Fraction
    monkeypatch.undo()
    _packages.cache_clear()


def test_a_name_says_where_it_stands(tmp_path):
    path = tmp_path / "config.yml"
    path.write_text("a: 1\nb: !!python/name:os.system\n")
    with pytest.raises(yaml.YAMLError, match=r"os\.system, which no config(.|\n)*line 2"):
        read_config(path)
