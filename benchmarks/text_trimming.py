"""Texts padded to the longest of their batch against texts padded to the whole context, in a text tower of CLIP's size.

    python benchmarks/text_trimming.py [--texts 128] [--repeats 3]

A CLIP (ViT-B/32's text tower: 77 tokens, width 512, 12 layers; random weights, moved as by training) is saved and loaded as
``transformers:FOLDER``; it embeds prompts of occupations both ways in turn. Prints the ratio of the CPU seconds (median)
and the largest difference of the vectors. One thread.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

LIMIT, EQUAL = 4.0, 1e-5
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
TEXT = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 12, "num_attention_heads": 8}
SMALL = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


def save(folder: Path, texts: list[str], text: dict[str, int], vision: dict[str, int]) -> None:
    """Save a CLIP of these sizes with a tokenizer of the words of the texts."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerFast

    words = sorted({word for line in texts for word in line.lower().replace(".", " .").split()})
    tokens = {word: place for place, word in enumerate(["<unk>", *words, "<start>", "<end>"])}
    made = Tokenizer(models.WordLevel(tokens, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[(token, tokens[token]) for token in ("<start>", "<end>")]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<start>", eos_token="<end>", pad_token="<end>", unk_token="<unk>", model_max_length=77
    ).save_pretrained(folder)  # fmt: skip
    marks = {"bos_token_id": tokens["<start>"], "eos_token_id": tokens["<end>"], "pad_token_id": tokens["<end>"]}
    config = CLIPConfig(
        text_config={**text, **marks, "vocab_size": len(tokens), "max_position_embeddings": 77},
        vision_config={"image_size": 224, "patch_size": 32, **vision},
        projection_dim=512,
    )
    torch.manual_seed(0)
    model = CLIPModel(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    model.save_pretrained(folder)


def main() -> int:
    """Measure, print, and return 1 if a figure misses its limit."""
    import numpy as np

    from equipoise import read_queries
    from equipoise.models.transformers import load

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()

    texts = [query.text for query in read_queries("occupations")]
    texts = [texts[place % len(texts)] for place in range(options.texts)]
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), texts, TEXT, SMALL)
        encoder = load(folder, device="cpu", preprocessing="clip")
    if not encoder.trimmed:
        print("trimming was refused at load")
        return 1
    times: dict[bool, list[float]] = {True: [], False: []}
    found = {}
    for _ in range(options.repeats):
        for trimmed in (True, False):
            encoder._texts.trimmed = trimmed
            start = time.process_time()
            x = encoder.encode_text(texts).astype(np.float64)
            times[trimmed].append(time.process_time() - start)
            found[trimmed] = x / np.linalg.norm(x, axis=1, keepdims=True)
    tokens = [len(row["input_ids"]) for row in encoder._texts.tokens(texts)]
    short, full = (float(np.median(times[trimmed])) for trimmed in (True, False))
    apart = float(np.abs(found[True] - found[False]).max())
    spread = float(np.abs(found[True] - found[True][0]).max())
    print(
        f"{len(texts)} prompts of {min(tokens)} to {max(tokens)} tokens, context {encoder.max_text_length}, width 512, 12 layers"
    )
    print(f"trimmed {short:.2f} s CPU, full padding {full:.2f} s CPU, ratio {full / short:.1f}, at least {LIMIT:g}")
    print(f"largest difference of unit vectors {apart:.1e}, at most {EQUAL:g} (between prompts {spread:.1e})")
    return int(full / short < LIMIT or not apart <= EQUAL)


if __name__ == "__main__":
    if any(os.environ.get(name) != value for name, value in THREADS.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | THREADS)
    raise SystemExit(main())
