"""The policy of Efficient Attention Network: which connections to keep, learnt from rewards.

A small network gives each site a probability to hold its block, whatever has been chosen
elsewhere. Its gradient is estimated from the rewards of schemes that are drawn from it, those of
this step and one step of a buffer. A scheme's reward is its accuracy, and something for each empty
site; what the policy learns from has a bonus for schemes that have seldom been seen: the error of a
network that learns to repeat what a fixed one says of them (random network distillation).
Source: arXiv:2011.14058; sizes and rates are those of the authors' program.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.base.seeds import derive

__all__ = ["Draw", "Policy", "Scheme"]

Scheme = tuple[int, ...]
"""1 where a site holds its block, in the order of the forward pass."""

SCHEMES = 3  # of a step
_INPUT, _HIDDEN, _TEMPERATURE = 20, 50, 5.0
_NOVEL_HIDDEN, _NOVEL_OUT = 32, 4
_RATE = 0.05
_DECAY = 0.95
_SPARSITY = 2.0  # points of accuracy for a network without any block
_BUFFER, _REPLAY_FROM, _CLIP, _REPLAY_WEIGHT = 30, 10, 0.1, 0.1


@dataclass(frozen=True, slots=True)
class Draw:
    """A scheme that a step drew. accuracy, reward: in points; novelty: the bonus."""

    scheme: Scheme
    accuracy: float
    reward: float
    novelty: float


class Policy:
    """The policy and all that it learns with; every step is derived from the seed and its number.

    sites: how many there are.
    """

    def __init__(self, sites: int, seed: int) -> None:
        self.sites, self.seed, self.step = sites, seed, 0
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "policy"))
            self._controller = nn.Sequential(
                nn.Linear(_INPUT, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 2 * sites)
            )
            wide = _NOVEL_OUT * sites
            self._fixed = nn.Sequential(
                nn.Linear(sites, _NOVEL_HIDDEN),
                nn.ReLU(),
                nn.Linear(_NOVEL_HIDDEN, _NOVEL_HIDDEN),
                nn.ReLU(),
                nn.Linear(_NOVEL_HIDDEN, wide),
            )
            self._learner = nn.Sequential(
                nn.Linear(sites, _NOVEL_HIDDEN), nn.ReLU(), nn.Linear(_NOVEL_HIDDEN, wide)
            )
        self._optimisers = {
            "controller": torch.optim.Adam(self._controller.parameters(), lr=_RATE),
            "learner": torch.optim.Adam(self._learner.parameters(), lr=_RATE),
        }
        self._baseline = torch.zeros(0)
        # Of the last steps: schemes (b, 3, sites), rewards (b, 3), probabilities (b, 3, sites).
        self._buffer = (
            torch.zeros(0, SCHEMES, sites),
            torch.zeros(0, SCHEMES),
            torch.zeros(0, SCHEMES, sites),
        )

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of each site, to hold its block."""
        with torch.no_grad():
            return tuple(self._log_probabilities()[:, 1].exp().tolist())

    @property
    def most_probable(self) -> Scheme:
        """The scheme that is drawn most often."""
        return tuple(int(share > 0.5) for share in self.probabilities)

    def learn(self, accuracy: Callable[[Scheme], float]) -> list[Draw]:
        """Draw schemes, learn from what they are worth, and return them.

        accuracy: of a scheme, in points.
        """
        generator = torch.Generator().manual_seed(derive(self.seed, "policy step", self.step))
        logarithms = self._log_probabilities()
        shares = logarithms[:, 1].detach().exp().expand(SCHEMES, self.sites)
        schemes = torch.bernoulli(shares, generator=generator)
        accuracies = [accuracy(tuple(int(on) for on in row)) for row in schemes.tolist()]
        empty = 1 - schemes.mean(dim=1)
        rewards = torch.tensor(accuracies) + _SPARSITY * empty
        errors = ((self._fixed(schemes).detach() - self._learner(schemes)) ** 2).sum(dim=1)
        wanted = rewards + errors.detach()
        mean = wanted.mean()[None]
        self._baseline = _DECAY * self._baseline + (1 - _DECAY) * mean if self.step else mean
        chosen = _of_schemes(logarithms, schemes)
        loss = -(chosen * (wanted - self._baseline)[:, None]).mean(dim=0).sum()
        self._change("controller", loss)
        self._change("learner", errors.sum())
        last = (schemes[None], rewards[None], chosen.detach().exp()[None])
        first, second, third = (
            torch.cat([kept, one])[-_BUFFER:] for kept, one in zip(self._buffer, last, strict=True)
        )
        self._buffer = first, second, third
        if self.step >= _REPLAY_FROM:
            self._replay(generator)
        self.step += 1
        return [
            Draw(tuple(int(on) for on in row), found, float(reward), float(novelty))
            for row, found, reward, novelty in zip(
                schemes.tolist(), accuracies, rewards, errors.detach(), strict=True
            )
        ]

    def _replay(self, generator: torch.Generator) -> None:
        """Learn once more from a step of the buffer, by how likely its schemes are now."""
        row = int(torch.randint(len(self._buffer[0]), (1,), generator=generator))
        schemes, rewards, before = (kept[row] for kept in self._buffer)
        chosen = _of_schemes(self._log_probabilities(), schemes)
        ratio = (chosen.detach().exp() / before)[:, :]
        advantage = (rewards - self._baseline)[:, None]
        free, clipped = (
            (weight * chosen * advantage).sum() / SCHEMES
            for weight in (ratio, ratio.clamp(1 - _CLIP, 1 + _CLIP))
        )
        self._change("controller", -_REPLAY_WEIGHT * torch.minimum(free, clipped))

    def _log_probabilities(self) -> Tensor:
        """Return (sites, 2): of being empty, and of holding its block."""
        scores = self._controller(torch.zeros(_INPUT)).view(self.sites, 2)
        return functional.log_softmax(scores / _TEMPERATURE, dim=1)

    def _change(self, name: str, loss: Tensor) -> None:
        optimiser = self._optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()

    # A policy that is stopped goes on as if it had not been.

    def state(self) -> dict[str, Tensor]:
        """Return what `load` goes on from."""
        tensors = {"stands": torch.tensor([self.step]), "baseline": self._baseline}
        tensors |= {f"buffer.{number}": part for number, part in enumerate(self._buffer)}
        for name, network in self._networks.items():
            tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimiser in self._optimisers.items():
            for index, slots in optimiser.state_dict()["state"].items():
                tensors |= {f"adam.{name}.{index}.{key}": value for key, value in slots.items()}
        return tensors

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up the state of a policy with the same arguments."""
        self.step, self._baseline = int(state["stands"].item()), state["baseline"]
        first, second, third = (state[f"buffer.{number}"] for number in range(3))
        self._buffer = first, second, third
        for name, network in self._networks.items():
            network.load_state_dict({key: state[f"{name}.{key}"] for key in network.state_dict()})
        for name, optimiser in self._optimisers.items():
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in state.items():
                if key.startswith(f"adam.{name}."):
                    index, slot = key.split(".")[2:]
                    slots.setdefault(int(index), {})[slot] = value
            groups = optimiser.state_dict()["param_groups"]
            optimiser.load_state_dict({"state": slots, "param_groups": groups})

    @property
    def _networks(self) -> dict[str, nn.Module]:
        # The fixed one, too, though the seed gives it: another version of torch might not.
        return {
            "controller": self._controller,
            "learner": self._learner,
            "fixed": self._fixed,
        }


def _of_schemes(logarithms: Tensor, schemes: Tensor) -> Tensor:
    """Return the log probabilities (3, sites) of what schemes (3, sites) chose at each site."""
    return torch.where(schemes > 0, logarithms[:, 1], logarithms[:, 0])
