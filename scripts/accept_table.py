"""The long checks of `scripts/accept`. Add an entry here; its command prints `measured: NUMBER` where there is a bar.

`{python}` is the interpreter, `{data:NAME}` and `{peer:NAME}` are what `--data NAME=PATH` and `--peer NAME=PATH` give;
a check that needs one that was not given is skipped, and the table says so.
"""

from __future__ import annotations

from typing import NamedTuple


class Check(NamedTuple):
    name: str
    command: str
    bar: str = ""  # "<= 1.92", ">= 0.99"; empty: the exit code decides
    what: str = ""


CHECKS = [
    Check("slow-tests", "{python} -m pytest -q -m slow", what="tests that are too long for scripts/test"),
    Check(
        "tinyshakespeare",
        "{python} benchmarks/tinyshakespeare.py --data {data:tinyshakespeare}",
        "<= 1.92",
        "nanoGPT's CPU configuration, loss over the whole validation split, mean of seeds 1-3",
    ),
    Check(
        "forward-256",
        "{python} benchmarks/forward.py --width 256",
        ">= 0.99",
        "generated forward against the same by hand",
    ),
    Check(
        "forward-64",
        "{python} benchmarks/forward.py --width 64",
        ">= 0.97",
        "generated forward against the same by hand",
    ),
    Check(
        "train-step",
        "{python} benchmarks/train_step.py --peer {peer:nanogpt}",
        ">= 0.97",
        "one training step against nanoGPT",
    ),
    Check(
        "loop-overhead",
        "{python} benchmarks/overhead.py",
        "<= 0.02",
        "what data, records, progress and checkpoints add to a training step of the demo's model",
    ),
    Check(
        "large-summary", "{python} benchmarks/large.py summary", "< 0.5", "llama3-405b counted from the spec, seconds"
    ),
    Check("large-meta", "{python} benchmarks/large.py meta", "< 2", "llama3-405b on meta, seconds"),
    Check("large-memory", "{python} benchmarks/large.py memory", "< 200", "llama3-405b on meta, MB beyond torch"),
    Check("serve", "{python} benchmarks/serve.py", "<= 0.5", "seconds from a save to the new picture, worst of 30"),
    Check("draw-large", "{python} benchmarks/drawing.py large", "< 1", "llama3-405b by `draw`, seconds in all"),
    Check("draw-unrolled", "{python} benchmarks/drawing.py unrolled", "< 10", "1,024 nodes one by one, seconds in all"),
    Check(
        "rivals",
        "{python} benchmarks/diagrams.py --rivals {peer:rivals}",
        what="blocks, sizes, seconds beside torchview, torchlens and keras (installed in `--peer rivals=PYTHON`)",
    ),
    Check(
        "layout-sweep",
        "{python} -m tests.viz.sweep",
        "== 0",
        "drawings whose fine layout breaks a rule, of 500 random graphs and all presets in every view",
    ),
    Check(
        "attention-window",
        "{python} benchmarks/attention.py --slope window",
        "<= 2.4",
        "a training step's attention at 8192 positions over 4096; full attention has 4",
    ),
    Check("attention-bigbird", "{python} benchmarks/attention.py --slope bigbird", "<= 2.4", "the same"),
    Check("attention-linear", "{python} benchmarks/attention.py --slope linear", "<= 2.4", "the same"),
    Check(
        "loading",
        "{python} benchmarks/loading.py",
        "<= 1.1",
        "peak memory while a checkpoint of 500 MB in GPT-2's layout is read, over its size",
    ),
    Check(
        "parity",
        "{python} benchmarks/parity.py",
        "<= 1e-4",
        "published models against the reference library, standard deviations, worst of all presets and configurations",
    ),
    Check("decode", "{python} benchmarks/decode.py", ">= 3", "decoding with state against recomputation, 256 tokens"),
    Check(
        "generate-128",
        "{python} benchmarks/generate.py --width 128 --layers 4",
        ">= 2",
        "greedy decoding of 256 tokens against transformers' generate, same weights, width 128, 4 layers",
    ),
    Check(
        "generate-128-8",
        "{python} benchmarks/generate.py --width 128 --layers 4 --sequences 8",
        ">= 1.4",
        "the same, 8 sequences",
    ),
    Check("generate-384", "{python} benchmarks/generate.py", ">= 1.05", "the same, width 384, 6 layers"),
    Check(
        "generate-gpt2",
        "{python} benchmarks/generate.py --width 768 --layers 12 --vocab 50257 --rounds 3",
        ">= 0.95",
        "the same, GPT-2's size",
    ),
    Check(
        "generate-nanogpt",
        "{python} benchmarks/generate.py --against nanogpt --peer {peer:nanogpt} --rounds 3",
        what="the same work by nanoGPT, which keeps no state, width 384, 6 layers",
    ),
    Check(
        "generate-x-transformers",
        "{python} benchmarks/generate.py --against x-transformers --rounds 3",
        what="the same work by x-transformers with its cache, where it is installed, width 384, 6 layers",
    ),
    Check(
        "kills",
        "{python} benchmarks/kills.py --kills 200",
        "== 0",
        "of 200 random kill -9, half inside a save: resumes that are not the uninterrupted training bit for bit",
    ),
    Check(
        "forgetting",
        "{python} benchmarks/kills.py --forget",
        "== 0",
        "items of a checkpoint that a training does not miss when it is resumed without them",
    ),
    Check(
        "corruptions",
        "{python} benchmarks/corruptions.py --corruptions 500",
        "== 0",
        "of 500 random damages to a checkpoint: not found, not named, or not passed over",
    ),
    Check(
        "reverse",
        "{python} benchmarks/recipes.py reverse-nano",
        ">= 99",
        "texts of up to 16 letters spelled backwards without a mistake, percent of the test rows, mean of seeds 1-3",
    ),
    Check(
        "banking77",
        "{python} benchmarks/recipes.py banking77-nano --data {data:banking77}",
        ">= 90",
        "accuracy over the whole test set, percent, mean of seeds 1-3",
    ),
    Check("sst2", "{python} benchmarks/recipes.py sst2-nano --data {data:sst2}", ">= 80", "the same, from scratch"),
    Check(
        "sst2-lstm",
        "{python} benchmarks/recipes.py sst2-lstm --data {data:sst2}",
        what="the same by a bidirectional LSTM, to stand beside the encoder",
    ),
    Check("digits", "{python} benchmarks/recipes.py vit-digits --data {data:digits}", ">= 99", "the same"),
    Check(
        "shakespeare",
        "{python} benchmarks/recipes.py shakespeare-nano --data {data:tinyshakespeare} --seconds 126",
        "<= 1.72",
        "other lines of YAML than nanoGPT's, 126 CPU seconds, loss over the whole validation split, mean of seeds 1-3",
    ),
    Check(
        "shakespeare-fast",
        "{python} benchmarks/recipes.py shakespeare-nano --data {data:tinyshakespeare} --seconds 56",
        "<= 1.913",
        "nanoGPT's loss in 0.4 times its CPU seconds (139-146)",
    ),
    Check(
        "multi30k",
        "{python} benchmarks/recipes.py multi30k-de-en --data {data:multi30k} --seconds 900",
        ">= 30",
        "greedy German to English after 15 CPU minutes, test_2016, raw text, BLEU of sacrebleu, mean of seeds 1-3",
    ),
    Check(
        "multi30k-beams",
        "{python} benchmarks/recipes.py multi30k-de-en --data {data:multi30k} --seconds 3600 --beams 4 --seeds 1"
        " --set vars.p=0.2",
        ">= 35",
        "the same with 4 beams after 60 CPU minutes, more dropout, one seed",
    ),
    Check(
        "padding",
        "{python} benchmarks/padding.py --data {data:multi30k}",
        "<= 0.6",
        "positions of an epoch of Multi30k, padding included, over those of plain batches",
    ),
    Check(
        "encoder-decoder-train",
        "{python} benchmarks/encoder_decoder.py train",
        ">= 1.4",
        "a training step against torch.nn.Transformer, width 256, 4 + 4 layers, source and target of 64",
    ),
    Check("encoder-decoder-greedy", "{python} benchmarks/encoder_decoder.py greedy", ">= 2.2", "greedy decoding"),
    Check(
        "multi30k-lstm",
        "{python} benchmarks/recipes.py multi30k-lstm --data {data:multi30k} --seconds 900",
        what="the same by LSTMs with attention, at the same CPU seconds",
    ),
    Check(
        "tatoeba",
        "{python} benchmarks/recipes.py tatoeba-en-zh --data {data:tatoeba} --beams 4",
        what="English to Chinese, beam 4, the whole test set, BLEU (zh) and chrF of sacrebleu, mean of seeds 1-3",
    ),
    Check(
        "cmudict",
        "{python} benchmarks/recipes.py cmudict-nano --data {data:cmudict}",
        what="words pronounced as one of their listed pronunciations, percent of the test set, mean of seeds 1-3",
    ),
    Check(
        "tangpoems",
        "{python} benchmarks/recipes.py tangpoems-nano --data {data:tangpoems}",
        what="Tang poems, loss per character over the held-out part, mean of seeds 1-3",
    ),
]
