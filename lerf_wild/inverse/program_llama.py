"""RAW's own decoder: a LLaMA-type language model with LoRA that writes the program as text.

Frozen patch tokens of an image encoder go through a projector in front of the text; where the text
says `[CLIP]` or `[ROT]`, a head reads the vector from the state that predicts that token (RAW, CVPR
2025). RAW feeds nothing of these vectors back; `feedback` adds them to the embedding of the token.

Symbols: B programs, P patches, V width of the image encoder, T tokens, D width of the language
model, A length of an embedding.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lerf_wild.errors import InputError
from lerf_wild.inverse.program_heads import (
    APPEARANCE_WEIGHT,
    ROTATION_WEIGHT,
    ValueHead,
    appearance_loss,
    rotation_loss,
    to_rotation,
)
from lerf_wild.inverse.program_text import Slots, Tokens

IGNORED = -100


@dataclass(frozen=True)
class LlamaSpec:
    """RAW's sizes: Vicuna-7B, CLIP ViT-L/14 at 336 pixels, LoRA of rank 128."""

    patch_width: int = 1024
    appearance: int = 1024
    rank: int = 128
    """Of LoRA; 0 trains the language model as a whole, for one that begins from nothing."""
    alpha: int = 256
    dropout: float = 0.05
    feedback: bool = True
    linear_heads: bool = False
    low_precision: bool = False
    """Whether the language model runs in bfloat16."""
    standardised: bool = False
    """Whether patch tokens are brought to mean 0 and variance 1 first, which RAW's projector, that
    begins as LLaVA's, has no need of."""


class Written(NamedTuple):
    """What the model wrote of one picture."""

    tokens: list[int]
    clips_CA: Tensor
    rotations_R9: Tensor


class _Out(NamedTuple):
    """What the language model says of T tokens."""

    states_BTD: Tensor
    logits_BTN: Tensor
    past: Any


class Projector(nn.Module):
    """Patch tokens (..., V) of the image encoder as tokens (..., D) of the language model."""

    def __init__(self, patch_width: int, width: int, standardised: bool = False) -> None:
        super().__init__()
        # What all tokens share would drown in what tells them apart; momentum None is the plain
        # mean of all batches.
        self.scale = nn.BatchNorm1d(patch_width, momentum=None, affine=False)
        self.linear = nn.Linear(patch_width, width)
        self.standardised = standardised

    def forward(self, patches: Tensor) -> Tensor:
        """Tokens in the same order."""
        if self.standardised:
            patches = self.scale(patches.flatten(0, -2)).view_as(patches)
        return self.linear(patches)


class LlamaReader(nn.Module):
    """Projector, language model with LoRA (or trained as a whole), heads; the image encoder stays
    outside, frozen."""

    def __init__(self, language: nn.Module, tokens: Tokens, spec: LlamaSpec | None = None) -> None:
        super().__init__()
        self.spec = spec = spec or LlamaSpec()
        self.tokens, width = tokens, language.config.hidden_size
        self.language = with_lora(language, spec, tokens) if spec.rank else language
        self.projector = Projector(spec.patch_width, width, spec.standardised)
        self.rotation = ValueHead(width, 9, spec.linear_heads)
        self.appearance = ValueHead(width, spec.appearance, spec.linear_heads)
        self.fed_rotation = nn.Linear(9, width)
        self.fed_appearance = nn.Linear(spec.appearance, width)
        for layer in (self.fed_rotation, self.fed_appearance):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def losses(self, patches_BPV: Tensor, programs: list[Slots]) -> dict[str, Tensor]:
        """RAW's losses: cross entropy of the text, 1 x rotation, 10 x appearance with 0.001 x
        norm."""
        ids, clips, rotations = self._padded(programs)
        inputs = self._inputs(patches_BPV, ids, clips, rotations)
        out = self._run(inputs)
        before = patches_BPV.shape[1] - 1
        states, logits = out.states_BTD[:, before:-1], out.logits_BTN[:, before:-1]
        labels = ids.masked_fill(ids < 0, IGNORED)
        read = states[labels == self.tokens.clip], states[labels == self.tokens.rotation]
        text = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        parts = {"text": text}
        if len(clips):
            parts["appearance"] = APPEARANCE_WEIGHT * appearance_loss(
                self.appearance(read[0]), clips
            )
        if len(rotations):
            goal = rotations.unflatten(-1, (3, 3))
            parts["rotation"] = ROTATION_WEIGHT * rotation_loss(self.rotation(read[1]), goal)
        return parts

    @torch.no_grad()
    def write(self, patches_PV: Tensor, most_tokens: int = 2048) -> Written:
        """Greedy decoding of one picture's program.

        With feedback each predicted vector is part of the next input; without, the vectors are read
        in the same pass, which a causal model makes equal to RAW's second pass.
        """
        x = self.projector(patches_PV)[None]
        past, numbers, clips, rotations = None, [], [], []
        for _ in range(most_tokens):
            out = self._run(x, past_key_values=past, use_cache=True)
            past, state = out.past, out.states_BTD[:, -1]
            number = int(out.logits_BTN[0, -1].argmax())
            if number == self.tokens.end:
                break
            numbers.append(number)
            x = self._embed(torch.tensor([[number]], device=state.device))
            if number == self.tokens.clip:
                clips.append(self.appearance(state)[0])
                x = x + self.spec.feedback * self.fed_appearance(clips[-1])
            elif number == self.tokens.rotation:
                rotations.append(to_rotation(self.rotation(state)[0]).flatten())
                x = x + self.spec.feedback * self.fed_rotation(rotations[-1])
        return Written(
            numbers,
            _stacked(clips, self.spec.appearance, patches_PV),
            _stacked(rotations, 9, patches_PV),
        )

    def _padded(self, programs: list[Slots]) -> tuple[Tensor, Tensor, Tensor]:
        """Token numbers (B, T) with -1 behind the end, and all slots in the order of the text."""
        device = self.projector.linear.weight.device
        rows = [[*self.tokens.encode(slots.text), self.tokens.end] for slots in programs]
        ids = torch.full((len(rows), max(map(len, rows))), -1, device=device)
        for row, numbers in zip(ids, rows):
            row[: len(numbers)] = torch.tensor(numbers)
        clips = torch.cat([slots.clips_CA for slots in programs]).to(device)
        rotations = torch.cat([slots.rotations_R9 for slots in programs]).to(device)
        if len(clips) != (ids == self.tokens.clip).sum():
            raise InputError("A program has more or fewer embeddings than its text has slots.")
        return ids, clips, rotations

    def _inputs(
        self, patches_BPV: Tensor, ids_BT: Tensor, clips: Tensor, rotations: Tensor
    ) -> Tensor:
        x = self._embed(ids_BT.clamp(min=0))
        if self.spec.feedback:
            fed = torch.zeros_like(x)
            fed[ids_BT == self.tokens.clip] = self.fed_appearance(clips).to(x.dtype)
            fed[ids_BT == self.tokens.rotation] = self.fed_rotation(rotations).to(x.dtype)
            x = x + fed
        return torch.cat([self.projector(patches_BPV).to(x.dtype), x], dim=1)

    def _run(self, inputs_BTD: Tensor, **options: Any) -> _Out:
        device = inputs_BTD.device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.spec.low_precision):
            out = self.language(inputs_embeds=inputs_BTD, output_hidden_states=True, **options)
        return _Out(out.hidden_states[-1].float(), out.logits.float(), out.past_key_values)

    def _embed(self, ids_BT: Tensor) -> Tensor:
        return self.language.get_input_embeddings()(ids_BT)


def with_lora(language: nn.Module, spec: LlamaSpec, tokens: Tokens) -> nn.Module:
    """Freezes a language model and adds LoRA to all its linear layers but the last; the slots' own
    tokens are learned too.

    Raises:
        InputError: when peft is missing.
    """
    try:
        from peft import LoraConfig, get_peft_model
    except ImportError:
        raise InputError("The language model needs peft: pip install 'lerf-wild[llm]'.") from None
    layers = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    slots = [tokens.clip, tokens.rotation]
    config = LoraConfig(
        r=spec.rank,
        lora_alpha=spec.alpha,
        lora_dropout=spec.dropout,
        bias="none",
        target_modules=layers,
        trainable_token_indices=dict.fromkeys(("embed_tokens", "lm_head"), slots),
        task_type="CAUSAL_LM",
    )
    with warnings.catch_warnings():
        # peft 0.21 asks transformers 5.23 for a property by its old name.
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(language, config)


def tiny_llama(tokens: Tokens, width: int = 64, layers: int = 2) -> Any:
    """A LLaMA made from a config, for tests and small experiments."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=tokens.size,
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=4096,
        pad_token_id=tokens.end,
        bos_token_id=tokens.start,
        eos_token_id=tokens.end,
        # LLaMA's 0.02 is for widths of thousands.
        initializer_range=width**-0.5,
    )
    return LlamaForCausalLM(config)


def _stacked(rows: list[Tensor], width: int, like: Tensor) -> Tensor:
    return torch.stack(rows) if rows else like.new_zeros(0, width)
