"""The FLUX engine, run for real on tiny parts with random weights."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lerf_wild.animals.bundled import load_quadruped
from lerf_wild.errors import EncoderError
from lerf_wild.synth import flux_engine
from lerf_wild.synth.flux_engine import control_image, edge_agreement, load_flux
from lerf_wild.synth.genzoo import GenzooJob, decode, make_samples
from lerf_wild.synth.genzoo_signals import make_signals


@pytest.fixture(scope="module")
def flux_folder(tmp_path_factory):
    """A pipeline of the real classes with a few thousand weights, saved as a user's would be."""
    diffusers = pytest.importorskip("diffusers")
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("flux")
    torch.manual_seed(0)
    sizes = {
        **{"patch_size": 1, "in_channels": 16, "num_layers": 1, "num_single_layers": 1},
        **{"attention_head_dim": 16, "num_attention_heads": 2, "joint_attention_dim": 32},
        **{"pooled_projection_dim": 32, "axes_dims_rope": (4, 4, 8), "guidance_embeds": True},
    }
    transformer = diffusers.FluxTransformer2DModel(**sizes)
    vae = diffusers.AutoencoderKL(
        latent_channels=4, block_out_channels=(4,), layers_per_block=1, norm_num_groups=1,
        shift_factor=0.06, scaling_factor=0.36, sample_size=32,
    )  # fmt: skip
    clip = transformers.CLIPTextConfig(
        hidden_size=32, intermediate_size=37, num_attention_heads=2, num_hidden_layers=1,
        vocab_size=99, projection_dim=32, max_position_embeddings=77, bos_token_id=97,
        eos_token_id=98, pad_token_id=98,
    )  # fmt: skip
    t5 = transformers.T5Config(
        vocab_size=99, d_model=32, d_kv=8, d_ff=37, num_layers=1, num_heads=4
    )
    nets = [diffusers.FluxControlNetModel(**sizes) for _ in range(2)]
    for net in nets:
        # New ControlNets end in zeros and would steer nothing.
        for parameter in net.parameters():
            torch.nn.init.normal_(parameter, std=0.05)
    pipeline = diffusers.FluxControlNetPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=vae, transformer=transformer, controlnet=nets[0],
        text_encoder=transformers.CLIPTextModel(clip), tokenizer=_clip_words(transformers, folder),
        text_encoder_2=transformers.T5EncoderModel(t5), tokenizer_2=_t5_words(transformers),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    for net, name in zip(nets, ("canny", "depth")):
        net.save_pretrained(folder / name)
    return folder


def _clip_words(transformers, folder):
    words = {chr(i): i - 97 for i in range(97, 123)} | {
        chr(i) + "</w>": i - 71 for i in range(97, 123)
    }
    words |= {"<|startoftext|>": 97, "<|endoftext|>": 98}
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    files = str(folder / "vocab.json"), str(folder / "merges.txt")
    return transformers.CLIPTokenizer(*files, model_max_length=77)


def _t5_words(transformers):
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "</s>": 1, "<unk>": 2} | {chr(i): i - 94 for i in range(97, 123)}
    core = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="</s>", unk_token="<unk>",
        model_max_length=64,
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_pictures_come_out_of_the_real_pipeline(flux_folder, monkeypatch):
    monkeypatch.setattr(flux_engine, "STEPS", 2)
    load_flux.cache_clear()
    engine = load_flux(str(flux_folder))
    engine.steps = 2
    job = GenzooJob(seed=1, size=32, engine="flux", flux=str(flux_folder))
    ((_, first),), ((_, again),) = make_samples(job, 0), make_samples(job, 0)
    assert first == again
    assert decode("x", first).rgb_HW3.shape == (32, 32, 3)
    about = json.loads(first["json"])
    assert about["engine"] == "flux" and 0.0 <= about["agreement"] <= 1.0
    # What steers is really used: without an animal in the signals the picture is another.
    parameters = decode("x", first).parameters
    signals = make_signals(load_quadruped().model, parameters, 32, 0)
    empty = type(signals)(**{**vars(signals), "canny_HW": 0 * signals.canny_HW,
                             "depth_HW": 0 * signals.depth_HW})  # fmt: skip
    pictures = [engine(part, "a dog", seed=3) for part in (signals, empty)]
    assert (pictures[0] != pictures[1]).any()


def test_missing_models_are_named(tmp_path):
    pytest.importorskip("diffusers")
    with pytest.raises(EncoderError, match="--flux"):
        load_flux(str(tmp_path / "none"), (str(tmp_path / "a"), str(tmp_path / "b")))


def test_signals_are_scaled_for_the_pipeline():
    image = control_image(np.full((20, 20), 255, np.uint8), 32)
    assert tuple(image.shape) == (1, 3, 32, 32) and float(image.min()) == 1.0


def test_edges_tell_a_picture_that_follows_from_one_that_does_not():
    mask = np.zeros((128, 128), bool)
    mask[30:90, 40:100] = True
    follows = np.where(mask[..., None], 200, 60).astype(np.uint8).repeat(3, 2)
    assert edge_agreement(follows, mask) > 0.97
    assert edge_agreement(np.roll(follows, 25, axis=(0, 1)), mask) < 0.3
    assert edge_agreement(np.full((128, 128, 3), 90, np.uint8), mask) == 0.0
