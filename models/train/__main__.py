"""Command line: ``python -m models.train {train,evaluate} ...``; see README.md."""

import argparse
import json
import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer

from .checkpoint import load, publish, settle_state
from .config import Config
from .data import Corpus, read_texts, select, train_tokenizer
from .evaluate import bits_per_character, ranges, samples, zeros
from .train import Trainer


def train(args: argparse.Namespace) -> None:
    """Build the corpus, train, and write the best state as a checkpoint."""
    config = Config.load(args.config)
    folder = args.out or Path("build/train") / config.name
    folder.mkdir(parents=True, exist_ok=True)
    texts = read_texts(args.corpus, args.manifest)
    kept = folder / "tokenizer.json"
    if args.start:
        shutil.copy(args.start / "tokenizer.json", kept)
    elif not kept.exists():
        chosen, _ = select(texts, config.data)
        easy = (text for source, part in chosen if source.vocabulary for text in part)
        train_tokenizer(easy, config.model.vocab_size).save(str(kept))
    tokenizer = Tokenizer.from_file(str(kept))
    corpus = Corpus.build(texts, config.data, tokenizer)
    print(f"{config.name}: {config.model.ternary_weights} ternary weights,", end=" ")
    print(f"{len(corpus.tokens)} tokens, {len(corpus.dev)} held out", flush=True)
    start = load(args.start)[0].state_dict() if args.start else None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    trainer = Trainer(config, corpus, device, start)
    with (folder / "log.txt").open("a") as log:

        def note(line: str) -> None:
            print(line, flush=True)
            print(line, file=log, flush=True)

        trainer.run(folder, note)
    trainer.model.load_state_dict(trainer.best_state)
    publish(settle_state(trainer.model), config.model, tokenizer, folder / "checkpoint")


def evaluate(args: argparse.Namespace) -> None:
    """Print a JSON report on a checkpoint."""
    model, tokenizer = load(args.checkpoint, getattr(torch, args.dtype))
    bits = {}
    with ranges(model) as largest:
        for path in args.text:
            text = path.read_text()
            if args.part and len(text) >= args.part[1]:
                name = f"{path.name}, characters {args.part[0]} to {args.part[1]}"
                bits[name] = bits_per_character(model, tokenizer, text[slice(*args.part)])
            bits[path.name] = bits_per_character(model, tokenizer, text)
    prompts = Config.load(args.config).prompts if args.config else ()
    report = {
        "bits per character": bits,
        "largest magnitudes": largest,
        "zero trits": zeros(model),
        "samples": {prompt: samples(model, tokenizer, prompt) for prompt in prompts},
    }
    print(json.dumps(report, indent=1))


def main() -> None:
    """Parse the command line and run the command."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description=__doc__)
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("train", help=train.__doc__)
    command.add_argument("config", type=Path, help="TOML file")
    command.add_argument("corpus", type=Path, help="folder of text files, or a tar archive of one")
    command.add_argument("--manifest", type=Path, help="JSON file with the hashes of the texts")
    command.add_argument("--out", type=Path, help="folder, build/train/NAME if not given")
    command.add_argument("--start", type=Path, help="checkpoint to start from")
    command.set_defaults(run=train)
    command = commands.add_parser("evaluate", help=evaluate.__doc__)
    command.add_argument("checkpoint", type=Path, help="folder of a checkpoint")
    command.add_argument("text", type=Path, nargs="*", help="held-out text files")
    command.add_argument("--part", type=int, nargs=2, help="characters measured apart as well")
    command.add_argument("--config", type=Path, help="TOML file whose prompts are continued")
    command.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    command.set_defaults(run=evaluate)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
