"""The order of work of the official LERF at render time, written plainly for comparison.

Every sample of every ray goes through the whole network to D channels, at each of 30 scales; the
view is rendered a second time, radiance field included, at the scale that won; CLIP and DINO
channels of the whole view are kept. The weights are those of our field, so both answer the same
question.

Symbols: R rays of a chunk, K samples a ray, D CLIP dimensions, C DINO dimensions, P phrases.
"""

import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.field_components.encodings import HashEncoding
from nerfstudio.models.nerfacto import NerfactoModel
from torch import Tensor, nn

from lerf_wild.language.relevancy import Query, relevancy
from lerf_wild.methods.lerf_wild.field import scale_basis
from lerf_wild.methods.lerf_wild.model import LerfWildModel


class OfficialOrder:
    """Answers a query on a view the way kerrj/lerf does."""

    def __init__(self, model: LerfWildModel) -> None:
        self.model = model
        self.field = model.language
        # One layer over features and scale together, as a network that knows no better has it.
        first = nn.Linear(1, 1)
        first.weight = nn.Parameter(
            torch.cat([self.field.position_layer.weight, self.field.scale_layer.weight], dim=1)
        )
        first.bias = self.field.position_layer.bias
        self.layers = [first, *self.field.hidden_layers]

    @torch.no_grad()
    def answer(self, rays: RayBundle, query: Query) -> tuple[Tensor, Tensor]:
        """Returns relevancy [H, W, P] and the peak of each phrase at every scale [S, P]."""
        height, width = rays.origins.shape[:2]
        sizes_S = self.model.query_sizes()
        peaks = [
            torch.stack([self._relevancy(*march, size, query)[0].amax(dim=0) for size in sizes_S])
            for march in map(self._march, self._chunks(rays))
        ]
        peaks_SP = torch.stack(peaks).amax(dim=0)
        best_P = peaks_SP.argmax(dim=0)
        kept: dict[str, list[Tensor]] = {"clip": [], "dino": [], "relevancy": []}
        for features, weights in map(self._march, self._chunks(rays)):
            kept["clip"].append(self._clip(features, weights, sizes_S[-1]))
            kept["dino"].append(self._dino(features, weights))
            kept["relevancy"].append(self._at_best(features, weights, sizes_S, best_P, query))
        images = {name: torch.cat(parts) for name, parts in kept.items()}
        return images["relevancy"].view(height, width, -1), peaks_SP

    def _chunks(self, rays: RayBundle) -> list[RayBundle]:
        flat, size = rays.flatten(), self.model.config.eval_num_rays_per_chunk
        return [flat[start : start + size] for start in range(0, len(flat), size)]

    def _march(self, rays: RayBundle) -> tuple[Tensor, Tensor]:
        """Renders the colours and returns grid features [R, K, G] and weights [R, K]."""
        model = self.model
        NerfactoModel.get_outputs(model, model.collider(rays))
        weights, samples = model.renderer_expected_depth.take()
        top = model._visible(model._top(samples, weights)[0])
        return self.field.encode(top.positions_RK3), top.weights_RK

    def _clip(self, features: Tensor, weights: Tensor, size: Tensor) -> Tensor:
        sizes = size.expand(features.shape[:-1])
        hidden = torch.cat([features, scale_basis(sizes, self.model.basis_range)], dim=-1)
        for layer in self.layers:
            hidden = torch.relu(nn.functional.linear(hidden, layer.weight, layer.bias))
        embeddings_RKD = self.field.clip_head(hidden)
        rendered = (weights[..., None] * embeddings_RKD).sum(dim=1)
        return nn.functional.normalize(rendered, dim=-1)

    def _dino(self, features: Tensor, weights: Tensor) -> Tensor:
        found = self.field.dino_head(self.field.dino_hidden(features))
        return (weights[..., None] * found).sum(dim=1)

    def _relevancy(
        self, features: Tensor, weights: Tensor, size: Tensor, query: Query
    ) -> tuple[Tensor, Tensor]:
        clip = self._clip(features, weights, size)
        return relevancy(clip, query), clip

    def _at_best(
        self, features: Tensor, weights: Tensor, sizes_S: Tensor, best_P: Tensor, query: Query
    ) -> Tensor:
        by_size = {
            best: self._relevancy(features, weights, sizes_S[best], query)[0]
            for best in set(best_P.tolist())
        }
        columns = [by_size[best][:, phrase] for phrase, best in enumerate(best_P.tolist())]
        return torch.stack(columns, dim=-1)


def use_stock_grids(model: nn.Module) -> None:
    """Gives the hash grids back nerfstudio's own lookup."""
    for part in model.modules():
        if isinstance(part, HashEncoding):
            part.__dict__.pop("pytorch_fwd", None)
