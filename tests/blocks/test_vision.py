"""Patches, biases between them, convolutions and similarities against `torch` and `transformers`' own parts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blockgraph.blocks.conv1d import Conv1d
from blockgraph.blocks.grid_bias import GridBias
from blockgraph.blocks.patches import Patches
from blockgraph.blocks.similarity import Similarity


def close(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and bool((found - wanted).abs().max() <= 1e-5 * wanted.std())


def perturbed(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for weight in module.parameters():
            weight.copy_(torch.randn_like(weight))
    return module


@pytest.mark.parametrize("bias", [True, False])
def test_patches_are_a_linear_on_the_pixels_of_each_square(bias: bool) -> None:
    torch.manual_seed(0)
    module = perturbed(Patches(3, 10, 4, bias=bias))
    image = torch.randn(2, 3, 8, 12)
    squares = [image[:, :, y : y + 4, x : x + 4].flatten(1) for y in (0, 4) for x in (0, 4, 8)]
    wanted = F.linear(torch.stack(squares, 1), module.weight.flatten(1), module.bias)
    assert close(module(image), wanted)


def test_patches_are_those_of_vit() -> None:
    pytest.importorskip("transformers")
    from transformers.models.vit.modeling_vit import ViTConfig, ViTPatchEmbeddings

    torch.manual_seed(1)
    theirs = perturbed(ViTPatchEmbeddings(ViTConfig(hidden_size=12, image_size=24, patch_size=6, num_channels=2)))
    mine = Patches(2, 12, 6)
    mine.load_state_dict(theirs.projection.state_dict())
    image = torch.randn(3, 2, 24, 24)
    assert close(mine(image), theirs(image))


def test_patches_say_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="4 × 4 pixels do not divide an image of 8 × 10"):
        Patches(3, 10, 4)(torch.randn(1, 3, 8, 10))


def test_patches_may_be_oblong_and_leave_out_what_fills_none() -> None:
    torch.manual_seed(5)
    module = perturbed(Patches(2, 6, (4, 3), cut=True))
    image = torch.randn(2, 2, 11, 8)
    squares = [image[:, :, y : y + 4, x : x + 3].flatten(1) for y in (0, 4) for x in (0, 3)]
    assert close(module(image), F.linear(torch.stack(squares, 1), module.weight.flatten(1), module.bias))
    with pytest.raises(ValueError, match="4 × 3 pixels do not divide an image of 11 × 8"):
        Patches(2, 6, (4, 3))(image)


@pytest.mark.parametrize("class_token", [True, False])
def test_a_grid_bias_tells_how_far_patches_are_apart(class_token: bool) -> None:
    torch.manual_seed(6)
    rows, columns = 3, 4
    module = perturbed(GridBias(2, rows, columns, class_token=class_token))
    found = module().detach()
    first = int(class_token)
    assert found.shape == (1, 2, rows * columns + first, rows * columns + first)
    grid = found[0, :, first:, first:].unflatten(1, (rows, columns)).unflatten(3, (rows, columns))
    seen: dict[tuple[int, int], Tensor] = {}
    for y, x, v, u in itertools.product(range(rows), range(columns), range(rows), range(columns)):
        assert torch.equal(seen.setdefault((y - v, x - u), grid[:, y, x, v, u]), grid[:, y, x, v, u])
    assert len({tuple(value.tolist()) for value in seen.values()}) == (2 * rows - 1) * (2 * columns - 1)
    if class_token:
        edges = [found[0, 0, 0, 1:], found[0, 0, 1:, 0], found[0, 0, :1, 0]]
        assert all(len(edge.unique()) == 1 for edge in edges) and len({float(edge[0]) for edge in edges}) == 3


def test_a_grid_bias_is_that_of_beit() -> None:
    pytest.importorskip("transformers")
    from transformers.models.beit.modeling_beit import BeitConfig, BeitRelativePositionBias

    torch.manual_seed(7)
    theirs = perturbed(BeitRelativePositionBias(BeitConfig(image_size=20, patch_size=5, num_attention_heads=3)))
    mine = GridBias(3, 4, 4)
    mine.load_state_dict({"weight": theirs.relative_position_bias_table})
    assert close(mine(), theirs((4, 4)))


@pytest.mark.parametrize("kernel", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 7, 12])
def test_a_convolution_is_its_formula(kernel: int, stride: int, length: int) -> None:
    torch.manual_seed(2)
    module = perturbed(Conv1d(6, 4, kernel=kernel, stride=stride)).double()
    x = torch.randn(2, length, 6, dtype=torch.float64)
    outs = []
    for t in range((length - 1) // stride + 1):
        total = module.bias.expand(2, 4)
        for k in range(kernel):
            place = stride * t + k - (kernel - 1) // 2
            if 0 <= place < length:
                total = total + x[:, place] @ module.weight[:, :, k].T
        outs.append(total)
    assert torch.allclose(module(x), torch.stack(outs, 1), atol=1e-12)


def test_the_stem_of_whisper() -> None:
    pytest.importorskip("transformers")
    from transformers.models.whisper.modeling_whisper import WhisperConfig, WhisperEncoder

    torch.manual_seed(3)
    sizes: dict[str, Any] = {"d_model": 16, "encoder_attention_heads": 2, "encoder_ffn_dim": 8, "num_mel_bins": 5}
    encoder = WhisperEncoder(WhisperConfig(encoder_layers=1, max_source_positions=9, **sizes))
    first, second = Conv1d(5, 16), Conv1d(16, 16, stride=2)
    for mine, theirs in ((first, encoder.conv1), (second, encoder.conv2)):
        perturbed(theirs)
        mine.load_state_dict(theirs.state_dict())
    mel = torch.randn(2, 5, 18)
    wanted = F.gelu(encoder.conv2(F.gelu(encoder.conv1(mel)))).transpose(1, 2)
    assert close(F.gelu(second(F.gelu(first(mel.transpose(1, 2))))), wanted)


def test_an_output_is_real_where_its_middle_is() -> None:
    module, x = Conv1d(3, 4, stride=2), torch.randn(2, 7, 3)
    mask = torch.arange(7) < torch.tensor([[7], [4]])
    found = module.masks((x,), (mask,))
    assert found is not None and found.tolist() == [[True] * 4, [True, True, False, False]]
    assert found.shape == module(x).shape[:2]
    assert module.masks((x,), (None,)) is None


def test_similarities_are_dot_products_and_cosines() -> None:
    torch.manual_seed(4)
    a, b = torch.randn(2, 3, 8), torch.randn(5, 8)
    b[0] = 0.0
    dots = (a.unsqueeze(-2) * b).sum(-1)
    assert close(Similarity()(a, b), dots)
    lengths = a.norm(dim=-1, keepdim=True) * b.norm(dim=-1).clamp(min=1e-9)
    assert close(Similarity(cosine=True)(a, b), dots / lengths)
