"""The training loop."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .config import Config, TrainConfig
from .data import Corpus
from .model import HGRNBit

__all__ = ["Trainer"]

MATRICES = ("proj.weight", "lm_head.weight")
SYNC_EVERY = 16  # steps between two looks at the clock, while the GPU works through its queue


def learning_rate(done: float, step: int, warmup: int) -> float:
    """Factor of the learning rate: linear warm-up, then a cosine to 0 over the wall time."""
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))


def adamw(model: HGRNBit, config: TrainConfig) -> torch.optim.AdamW:
    """Make the optimizer: weight decay for ternary matrices only, learning rates as tensors.

    A captured graph sees a tensor change, and not a number. The embedding has no decay: rows of
    rare tokens would reach zero, and at zero the gradient of the norms in a row overflows.
    """
    device = model.model.norm.weight.device
    named = list(model.named_parameters())
    groups = []
    for matrices, decay in ((True, config.weight_decay), (False, 0.0)):
        params = [p for name, p in named if name.endswith(MATRICES) == matrices]
        rate = torch.zeros((), device=device)
        groups.append({"params": params, "weight_decay": decay, "lr": rate})
    gpu = device.type == "cuda"
    return torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True, capturable=gpu)


class Trainer:
    """One training run.

    On a GPU the model is compiled and a whole step, the optimizer included, is one CUDA graph.

    Parameters
    ----------
    config
        The run.
    corpus
        Its tokens.
    device
        Where to train.
    start
        State dictionary to start from instead of a random one.
    """

    def __init__(
        self,
        config: Config,
        corpus: Corpus,
        device: torch.device,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        torch.manual_seed(config.train.seed)
        self.config, self.corpus, self.device = config, corpus, device
        self.gpu = device.type == "cuda"
        dtype = torch.bfloat16 if self.gpu else None
        self.model = HGRNBit(config.model, dtype, config.train.dropout).to(device)
        if start is not None:
            self.model.load_state_dict(start)
        self.optimizer = adamw(self.model, config.train)
        self.tokens = torch.from_numpy(corpus.tokens.astype(np.int32)).to(device)
        self.span = torch.arange(config.train.window + 1, device=device)
        self.starts = torch.zeros(config.train.batch, dtype=torch.long, device=device)
        self.loss = torch.zeros((), device=device)
        self.skipped = torch.zeros((), device=device)
        self.step = self.elapsed = self.pass_number = self.batch = 0
        self.order = self._order()
        self.best, self.best_state = math.inf, self.model.state_dict()

    def run(self, folder: Path, log: Callable[[str], None] = print) -> None:
        """Train until the time is up; keep the best state.

        Parameters
        ----------
        folder
            Where ``state.pt`` is written now and then and at the end. A run whose folder has one
            goes on from there.
        log
            Takes a line for every evaluation.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path, train = folder / "state.pt", self.config.train
        if path.exists():
            self._load(path)
        advance = self._captured() if self.gpu else self._advance
        begun = time.monotonic() - self.elapsed
        due, save = self.elapsed + train.eval_seconds, self.elapsed + train.save_seconds
        while self.elapsed < train.seconds:
            self._set_rate(learning_rate(self.elapsed / train.seconds, self.step, train.warmup))
            self._next_batch()
            advance()
            self.step += 1
            if self.step % SYNC_EVERY == 0 or not self.gpu:
                loss = self.loss.item()
                self.elapsed = time.monotonic() - begun
            if self.elapsed >= min(due, train.seconds):
                due = self.elapsed + train.eval_seconds
                dev = self.evaluate()
                if dev < self.best:
                    self.best = dev
                    state = self.model.state_dict()
                    self.best_state = {k: v.detach().clone() for k, v in state.items()}
                tokens = self.step * train.batch * train.window
                log(
                    f"{self.elapsed:7.1f} s  step {self.step:6d}  {tokens / 1e6:7.1f} M tokens  "
                    f"pass {self.pass_number}  loss {loss:.4f}  held-out {dev:.4f} bit/character  "
                    f"left out {int(self.skipped)}"
                )
                if self.elapsed >= min(save, train.seconds):
                    save = self.elapsed + train.save_seconds
                    self._save(path)
                begun = time.monotonic() - self.elapsed  # looking and saving cost no budget

    @torch.no_grad()
    def evaluate(self) -> float:
        """Bits per character of the held-out documents, cut into windows."""
        size = self.config.train.window
        count = (len(self.corpus.dev) - 1) // size
        tokens = torch.from_numpy(self.corpus.dev[: count * size + 1].astype(np.int64))
        tokens = tokens.to(self.device)
        self.model.eval()
        bits = 0.0
        for rows in torch.arange(count, device=self.device).split(self.config.train.batch):
            window = tokens[rows[:, None] * size + self.span]
            bits += self._loss(window).item() * len(rows) * size / math.log(2)
        self.model.train()
        return bits * len(self.corpus.dev) / len(tokens) / self.corpus.dev_characters

    def _loss(self, window: Tensor) -> Tensor:
        logits = self.model(window[:, :-1])
        return F.cross_entropy(logits.flatten(0, 1).float(), window[:, 1:].flatten())

    def _advance(self, loss: Callable[[Tensor], Tensor] | None = None) -> None:
        """One step on the windows at `starts`."""
        window = self.tokens[self.starts[:, None] + self.span].long()
        value = (loss or self._loss)(window)
        value.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.found_inf = (~norm.isfinite()).float()  # leaves such a step out
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.skipped += self.optimizer.found_inf
        self.loss.copy_(value.detach())
        with torch.no_grad():
            rows = self.model.model.embeddings.weight
            size = rows.square().mean(1, keepdim=True).sqrt()
            rows.mul_((self.config.model.embedding_rms / size).clamp_max(1))

    def _set_rate(self, factor: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"].fill_(self.config.train.lr * factor)

    def _captured(self) -> Callable[[], None]:
        """Compile the model and record one step as a CUDA graph.

        The steps before the recording have a learning rate of 0.
        """
        self._set_rate(0.0)
        loss = torch.compile(self._loss, dynamic=False)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._advance(loss)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._advance(loss)
        return graph.replay

    def _order(self) -> Tensor:
        """Windows of the present pass, one row for each step."""
        train = self.config.train
        rng = np.random.default_rng([train.seed, self.pass_number])
        starts = self.corpus.windows(train.window, rng)
        starts = starts[: len(starts) // train.batch * train.batch]
        return torch.from_numpy(starts.reshape(-1, train.batch)).to(self.device)

    def _next_batch(self) -> None:
        if self.batch == len(self.order):
            self.pass_number, self.batch = self.pass_number + 1, 0
            self.order = self._order()
        self.starts.copy_(self.order[self.batch])
        self.batch += 1

    _COUNTERS = ("step", "elapsed", "pass_number", "batch", "best", "best_state")

    def _save(self, path: Path) -> None:
        torch.save(
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "counters": {name: getattr(self, name) for name in self._COUNTERS},
            },
            path,
        )

    def _load(self, path: Path) -> None:
        saved = torch.load(path, map_location=self.device)
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        for name, value in saved["counters"].items():
            setattr(self, name, value)
        self.order = self._order()
