"""Small models of the transformers format, saved to disk with tokenizers that were trained here and now."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

EDGE, CONTEXT = 32, 24
CORPUS = [
    "a photo of a cat", "a photo of a dog and a nurse", "a picture of two people who talk to each other on a bridge at night",
    "an engineer, a doctor and a plumber", "seen from far away, in black and white", "الطبيب في المستشفى", "a 👩‍⚕️ at work",
]  # fmt: skip
TEXTS = [
    "a photo of a doctor", "", "cat", "a picture of two people who talk to each other on a bridge", "a dog", "الطبيب 👩‍⚕️", "A Photo of a Cat",
]  # fmt: skip
LONG = "a photo of a cat and " * 12


def bpe(folder: Path) -> Any:
    """Train and save a CLIP tokenizer, as CLIP's: byte-level BPE with ``</w>``."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    made.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=600, end_of_word_suffix="</w>", initial_alphabet=letters, show_progress=False)
    )  # fmt: skip
    model = json.loads(made.to_str())["model"]
    vocabulary = model["vocab"]
    for token in [*(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]:
        vocabulary.setdefault(token, len(vocabulary))
    tokenizer = CLIPTokenizer(
        vocab=vocabulary, merges=[tuple(pair) for pair in model["merges"]], model_max_length=CONTEXT
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


def unigram(folder: Path, *, length: int = CONTEXT) -> Any:
    """Train and save a tokenizer like SigLIP's: Unigram, ``</s>`` at the end and as padding, no attention mask."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.Unigram())
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(
        CORPUS,
        trainers.UnigramTrainer(
            vocab_size=120, special_tokens=["</s>", "<unk>"], unk_token="<unk>", show_progress=False
        ),
    )
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=length,
        model_input_names=["input_ids"],
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    return tokenizer


def wordpiece(folder: Path, *, bos: str = "[CLS]", eos: str = "[SEP]", pad: str = "[PAD]") -> Any:
    """Train and save a WordPiece tokenizer with a mask; padding is token 1, as RoBERTa has it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=["[UNK]", pad, bos, eos], show_progress=False)
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", special_tokens=[(bos, made.token_to_id(bos)), (eos, made.token_to_id(eos))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, cls_token=bos, sep_token=eos, pad_token=pad, unk_token="[UNK]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    return tokenizer


def train(model: Any, seed: int = 0) -> Any:
    """Move every weight, as training does: a model fresh from its configuration looks untrained."""
    import torch

    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=source))
    return model.eval()


def processor_file(folder: Path, kind: str, **settings: Any) -> None:
    """Write preprocessor_config.json, as it lies on the hub."""
    edges = {"height": EDGE, "width": EDGE}
    size = {"size": {"shortest_edge": EDGE}, "crop_size": edges} if kind in ("CLIP", "ChineseCLIP") else {"size": edges}
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": f"{kind}ImageProcessor", **size, **settings}), "utf-8"
    )


TOWER = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
VISION = {**TOWER, "image_size": EDGE, "patch_size": 8}


def clip(folder: Path, *, trained: bool = True, eos: int | None = None) -> Path:
    """Save a CLIP."""
    from transformers import CLIPConfig, CLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = bpe(folder)
    end = tokenizer.eos_token_id if eos is None else eos
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": CONTEXT, "eos_token_id": end,
            "bos_token_id": tokenizer.bos_token_id, "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    model = CLIPModel(CLIPConfig(text_config={**TOWER, **text}, vision_config=VISION, projection_dim=16))
    (train(model) if trained else model).save_pretrained(folder)
    processor_file(folder, "CLIP")
    return folder


def gemma(folder: Path) -> Any:
    """Train and save the tokenizer of SigLIP 2: BPE of lower-cased text, no marks around it, no mask, padding behind."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import Siglip2Tokenizer

    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(" ", "▁")])
    made.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_previous")
    made.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=150, special_tokens=special, show_progress=False))
    model = json.loads(made.to_str())["model"]
    tokenizer = Siglip2Tokenizer(
        vocab=model["vocab"], merges=[tuple(pair) for pair in model["merges"]], model_max_length=CONTEXT,
        padding_side="right", model_input_names=["input_ids"],
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    return tokenizer


def siglip(folder: Path, tokenizer: Any = unigram) -> Path:
    """Save a SigLIP."""
    from transformers import SiglipConfig, SiglipModel

    folder.mkdir(parents=True, exist_ok=True)
    text = {"vocab_size": len(tokenizer(folder)), "max_position_embeddings": CONTEXT, "pad_token_id": 0}
    text |= {"eos_token_id": 0, "bos_token_id": 0}
    train(SiglipModel(SiglipConfig(text_config={**TOWER, **text}, vision_config=VISION))).save_pretrained(folder)
    processor_file(folder, "Siglip")
    return folder


def siglip2(folder: Path) -> Path:
    """Save a SigLIP 2 of fixed resolution: SigLIP's architecture with another tokenizer, as it lies on the hub."""
    return siglip(folder, gemma)


def dual(folder: Path) -> Path:
    """Save a VisionTextDualEncoder of ViT and BERT, as LiT has it."""
    from transformers import BertConfig, VisionTextDualEncoderConfig, VisionTextDualEncoderModel, ViTConfig

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = wordpiece(folder)
    text = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=40, pad_token_id=1, **TOWER)
    config = VisionTextDualEncoderConfig(vision_config=ViTConfig(**VISION).to_dict(), text_config=text.to_dict(), projection_dim=16)  # fmt: skip
    train(VisionTextDualEncoderModel(config)).save_pretrained(folder)
    processor_file(folder, "ViT")
    return folder


def chinese(folder: Path) -> Path:
    """Save a ChineseCLIP: BERT, first token."""
    from transformers import ChineseCLIPConfig, ChineseCLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    text = {**TOWER, "vocab_size": len(wordpiece(folder)), "max_position_embeddings": 40, "pad_token_id": 1}
    config = ChineseCLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)
    train(ChineseCLIPModel(config)).save_pretrained(folder)
    processor_file(folder, "ChineseCLIP")
    return folder


def altclip(folder: Path) -> Path:
    """Save an AltCLIP: XLM-RoBERTa, whose positions begin behind the padding token."""
    from transformers import AltCLIPConfig, AltCLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = wordpiece(folder, bos="<s>", eos="</s>", pad="<pad>")
    text = {**TOWER, "vocab_size": len(tokenizer), "max_position_embeddings": 30, "pad_token_id": 1, "project_dim": 32}
    config = AltCLIPConfig(text_config=text, vision_config=VISION, projection_dim=16)
    train(AltCLIPModel(config)).save_pretrained(folder)
    processor_file(folder, "CLIP")
    return folder


def classifier(folder: Path, labels: list[str] | None = None, *, trained: bool = True) -> Path:
    """Save a ViT that classifies pictures."""
    from transformers import ViTConfig, ViTForImageClassification

    folder.mkdir(parents=True, exist_ok=True)
    names = (
        {}
        if labels is None
        else {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    )
    model = ViTForImageClassification(ViTConfig(**VISION, **names, **({} if names else {"num_labels": 3})))
    (train(model) if trained else model).save_pretrained(folder)
    processor_file(folder, "ViT")
    return folder


def pictures(n: int = 5, seed: int = 0) -> list[Image.Image]:
    """Return pictures of different shapes."""
    rng = np.random.default_rng(seed)
    sizes = [(40, 50), (32, 32), (33, 90), (70, 20), (45, 45), (100, 64), (31, 57)]
    return [Image.fromarray(rng.integers(0, 256, (*sizes[i % len(sizes)], 3), dtype=np.uint8)) for i in range(n)]
