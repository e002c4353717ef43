"""The losses against those of transformers' own models, by hand, and with pairs that are no negatives."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="the losses are of torch")
pytest.importorskip("transformers", reason="they are compared with its own")

from equipoise.train.losses import clip_loss, siglip_loss  # noqa: E402

TOWER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
VISION = {**TOWER, "image_size": 16, "patch_size": 8}
TEXT = {
    **TOWER,
    "vocab_size": 50,
    "max_position_embeddings": 8,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


def vectors(n=7, d=5, seed=0):
    source = torch.Generator().manual_seed(seed)
    image, text = torch.randn(2, n, d, generator=source, dtype=torch.float64)
    return torch.nn.functional.normalize(image, dim=-1), torch.nn.functional.normalize(text, dim=-1)


def models():
    from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel

    torch.manual_seed(3)
    yield CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=8)).eval()
    torch.manual_seed(3)
    yield SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)).eval()


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_value_and_gradients_are_those_of_transformers(kind) -> None:
    model = dict(zip(("clip", "siglip"), models(), strict=True))[kind]
    source = torch.Generator().manual_seed(1)
    pixels = torch.randn(6, 3, 16, 16, generator=source)
    tokens = torch.randint(2, 50, (6, 8), generator=source)
    tokens[:, -1] = 1
    out = model(input_ids=tokens, pixel_values=pixels, return_loss=True)
    out.loss.backward()
    wanted = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    model.zero_grad()
    found = model(input_ids=tokens, pixel_values=pixels)
    scale = model.logit_scale.exp()
    loss = (
        clip_loss(found.image_embeds, found.text_embeds, scale)
        if kind == "clip"
        else siglip_loss(found.image_embeds, found.text_embeds, scale, model.logit_bias)
    )
    loss.backward()
    torch.testing.assert_close(loss, out.loss, rtol=1e-6, atol=1e-6)
    assert wanted
    for name, one in model.named_parameters():
        if name in wanted:
            torch.testing.assert_close(one.grad, wanted[name], rtol=1e-4, atol=1e-6, msg=name)


def test_by_hand() -> None:
    """Two pairs, cosines 1 and 0: every row is log(1 + exp(-s)) in CLIP; SigLIP adds a positive and a negative a row."""
    image = text = torch.eye(2, dtype=torch.float64)
    assert float(clip_loss(image, text, 3.0)) == pytest.approx(math.log1p(math.exp(-3.0)))
    wanted = math.log1p(math.exp(-(3.0 - 1.0))) + math.log1p(math.exp(-1.0))
    assert float(siglip_loss(image, text, 3.0, -1.0)) == pytest.approx(wanted)


def test_pairs_that_are_the_same_are_no_negatives() -> None:
    """Row 0 and row 1 share a caption: neither may push the other away, and the rest is as it was."""
    image, text = vectors()
    text[1] = text[0]
    same = torch.eye(7, dtype=torch.bool)
    same[0, 1] = same[1, 0] = True
    logits = 9.0 * image @ text.T
    terms = []
    for side in (logits, logits.T):
        for row in range(7):
            others = [other for other in range(7) if not (same[row, other] and other != row)]
            terms.append(torch.logsumexp(side[row, others], 0) - side[row, row])
    assert float(clip_loss(image, text, 9.0, same)) == pytest.approx(float(torch.stack(terms).mean()), rel=1e-12)
    pairs = [
        -torch.nn.functional.logsigmoid((1 if i == j else -1) * (logits[i, j] - 2.0))
        for i in range(7) for j in range(7) if i == j or not same[i, j]
    ]  # fmt: skip
    assert float(siglip_loss(image, text, 9.0, -2.0, same)) == pytest.approx(
        float(torch.stack(pairs).sum() / 7), rel=1e-12
    )


def test_a_mask_of_the_diagonal_alone_changes_nothing() -> None:
    image, text = vectors()
    same = torch.eye(7, dtype=torch.bool)
    assert float(clip_loss(image, text, 5.0, same)) == float(clip_loss(image, text, 5.0))
    assert float(siglip_loss(image, text, 5.0, 1.0, same)) == float(siglip_loss(image, text, 5.0, 1.0))
