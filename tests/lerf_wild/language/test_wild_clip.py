from __future__ import annotations

import copy
import json

import pytest
import torch

from lerf_wild.errors import EncoderError
from lerf_wild.language import wild_clip
from lerf_wild.language.encoders import ImageTextEncoder
from lerf_wild.language.fused_resnet import fuse_resnet
from lerf_wild.language.wild_clip_training import likes
from lerf_wild.synth.taxonomy import vocabulary
from lerf_wild.synth.wild_clip_views import INFINIGEN_HELD_OUT, SMALL


def test_size_stays_within_thirty_megabytes(wild_clip_folder):
    parts = wild_clip.build_wild_clip()
    assert sum(p.numel() for p in parts.model.parameters()) == 12_043_569
    assert (wild_clip_folder / wild_clip.WEIGHTS_NAME).stat().st_size < 30e6


def test_same_seed_gives_the_same_weights_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    one, two = (wild_clip.build_wild_clip(seed=3).model.state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_can_be_trained():
    parts = wild_clip.build_wild_clip()
    images = parts.model.encode_image(torch.rand(4, 3, 96, 96))
    texts = parts.model.encode_text(parts.tokenizer(["red fox", "oak", "boulder", "grass"]))
    (images @ texts.T).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in parts.model.parameters())
    assert parts.model.visual.conv1.weight.grad.abs().sum() > 0


def test_folding_changes_nothing(generator):
    tower = wild_clip.build_wild_clip().model.visual.eval()
    # Fresh batch norms are the identity; give them something to fold.
    for module in tower.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(generator=generator).mul_(0.1)
            module.running_var.uniform_(0.5, 2.0, generator=generator)
            module.weight.data.uniform_(0.5, 1.5, generator=generator)
            module.bias.data.normal_(generator=generator).mul_(0.1)
    for projection in (tower.attnpool.k_proj, tower.attnpool.v_proj, tower.attnpool.q_proj):
        projection.bias.data.normal_(generator=generator)
    folded = copy.deepcopy(tower)
    fuse_resnet(folded)
    images = torch.rand(5, 3, 96, 96, generator=generator)
    with torch.inference_mode():
        expected = tower(images)
        torch.testing.assert_close(folded(images), expected, atol=1e-5, rtol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())


def test_loads_from_a_folder(wild_clip_folder):
    encoder = wild_clip.load_wild_clip(folder=wild_clip_folder)
    assert isinstance(encoder, ImageTextEncoder)
    assert encoder.identity.startswith("wild-clip@")
    assert (encoder.dim, encoder.image_size) == (128, 96)
    images = encoder.encode_images(torch.rand(3, 3, 20, 30))
    texts = encoder.encode_text(["red fox", "oak"])
    assert images.shape == (3, 128)
    torch.testing.assert_close(images.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(texts.norm(dim=-1), torch.ones(2))


def test_missing_weights_name_the_remedy(tmp_path):
    with pytest.raises(EncoderError, match="Install lerf-wild again"):
        wild_clip.load_wild_clip(folder=tmp_path)


def test_vocabulary(wild_clip_folder, tmp_path):
    assert wild_clip.vocabulary(wild_clip_folder) == ("red fox", "oak")
    assert wild_clip.unknown_phrases(("Red Fox ", "zebra"), wild_clip_folder) == ("zebra",)
    (tmp_path / wild_clip.VOCABULARY_NAME).write_text('{"phrases": [1]}')
    with pytest.raises(EncoderError, match="list of phrases"):
        wild_clip.vocabulary(tmp_path)


@pytest.mark.skipif(
    not (wild_clip.WEIGHTS_FOLDER / wild_clip.WEIGHTS_NAME).is_file(), reason="not trained yet"
)
def test_the_bundled_files_fit_together():
    encoder = wild_clip.load_wild_clip()
    config = json.loads((wild_clip.WEIGHTS_FOLDER / wild_clip.CONFIG_NAME).read_text())
    assert config == wild_clip.architecture()
    phrases = wild_clip.VOCABULARY
    embeddings = encoder.encode_text(phrases)
    assert embeddings.isfinite().all()
    # No two phrases may have become the same to the model.
    assert len(embeddings.round(decimals=3).unique(dim=0)) == len(phrases)


def test_phrases_like_another_share_its_last_word():
    phrases = ["bird", "blue bird", "bluebird", "dead tree", "dead bird song", "grey bird"]
    assert likes("blue bird", phrases) == [0, 5]
    assert likes("dead tree", phrases) == []


def test_training_shows_every_phrase_that_it_learns():
    from lerf_wild.assets.catalogue import CATALOGUE

    shown = {
        p for n, entry in CATALOGUE.items() if n not in INFINIGEN_HELD_OUT for p in entry.phrases
    }
    assert {p for entry in CATALOGUE.values() for p in entry.phrases} == shown <= set(vocabulary())
    assert set(SMALL) <= set(CATALOGUE)
