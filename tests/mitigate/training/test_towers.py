"""Blocks and heads of the towers of several models, by their names."""

from __future__ import annotations

import pytest

for package in ("torch", "transformers", "tokenizers"):
    pytest.importorskip(package, reason="the towers are of transformers")

import tiny_transformers as tiny  # noqa: E402
import torch  # noqa: E402

from equipoise.errors import InputError  # noqa: E402
from equipoise.mitigate.training.towers import choose  # noqa: E402


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    from transformers import AutoModel

    base = tmp_path_factory.mktemp("models")
    return {
        name: AutoModel.from_pretrained(getattr(tiny, name)(base / name))
        for name in ("clip", "siglip", "dual", "altclip")
    }


HEADS = {
    "clip": {
        "logit_scale", "text_model.final_layer_norm.weight", "text_model.final_layer_norm.bias",
        "vision_model.post_layernorm.weight", "vision_model.post_layernorm.bias", "visual_projection.weight",
        "text_projection.weight",
    },
    "dual": {
        "logit_scale", "vision_model.layernorm.weight", "vision_model.layernorm.bias", "vision_model.pooler.dense.weight",
        "vision_model.pooler.dense.bias", "text_model.pooler.dense.weight", "text_model.pooler.dense.bias",
        "visual_projection.weight", "text_projection.weight",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", list(HEADS))
def test_heads_by_name(name, models) -> None:
    found = choose(models[name], "heads")
    assert set(found.names) == HEADS[name]
    assert {key for key, one in models[name].named_parameters() if one.requires_grad} == HEADS[name]


@pytest.mark.parametrize("name", ["clip", "siglip", "dual", "altclip"])
def test_last_blocks_are_between_heads_and_all(name, models) -> None:
    model = models[name]
    heads, last, both, every = (set(choose(model, asked).names) for asked in ("heads", "last:1", "last:2", "all"))
    assert heads < last < both < every
    assert all(".1." in key for key in last - heads)
    assert all(".0." in key for key in both - last)
    assert every == set(dict(model.named_parameters()))


def test_heads_of_siglip_hold_its_bias_and_its_pooling(models) -> None:
    names = choose(models["siglip"], "heads").names
    assert {"logit_bias", "vision_model.head.probe", "text_model.head.weight"} <= set(names)
    assert not any("encoder" in name for name in names)


def test_a_model_without_blocks_can_only_be_trained_whole() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    assert choose(model, "all").parameters == 12
    with pytest.raises(InputError, match="no tower with blocks"):
        choose(model, "heads")
