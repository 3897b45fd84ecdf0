"""Python's side of the kernel that trains two networks against each other: three workspaces and what they share."""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from fastnn.engine.entries import spread_of, train_adversaries_of
from fastnn.engine.layout import Plan
from fastnn.engine.rows import Rows
from fastnn.engine.team import Team
from fastnn.engine.workspace import Workspace
from fastnn.kernels import tables
from fastnn.kernels.adversarial import MADE_RIGHT, REAL_RIGHT, SETTINGS
from fastnn.kernels.adversarial_samples import LOSSES, NOISES
from fastnn.kernels.gemm import PANEL
from fastnn.kernels.ops.convolution import CONVOLUTION, DEPTHWISE_CONVOLUTION
from fastnn.kernels.ops.dense import DENSE
from fastnn.kernels.ops.noise import DROPOUT
from fastnn.kernels.ops.pooling import AVERAGE_POOLING
from fastnn.kernels.ops.tangent import DETAILS as TANGENT_DETAILS
from fastnn.kernels.ops.tangent import TANGENTS

_NO_ROWS = np.empty(0, np.int64)
_LINEAR = (DENSE, CONVOLUTION, DEPTHWISE_CONVOLUTION, AVERAGE_POOLING, DROPOUT)  # but for biases


class Adversaries:
    """Jobs and memory of a generator and a discriminator; see `kernels.adversarial` for who does what.

    Parameters
    ----------
    generator, discriminator : Plan
        The networks' tables.
    dtype : numpy.dtype
        Of both networks.
    batch_size : int
        Most real samples of a step.
    team : Team
        Whose threads share the batches.
    noise : str
        One of `NOISES`.
    loss : str
        One of `LOSSES`.
    settings : dict
        Fields of `SETTINGS` that depend on neither batches nor plans.

    Attributes
    ----------
    judge, maker, critic : Workspace
        The discriminator as it learns, the generator, and the discriminator as the generator learns.
    """

    def __init__(
        self, generator: Plan, discriminator: Plan, dtype: np.dtype, *, batch_size: int, team: Team, noise: str,
        loss: str, settings: dict[str, Any],
    ):  # fmt: skip
        self._dtype, self._team = dtype, team
        holds_batch = generator.has_batch_statistics or discriminator.has_batch_statistics
        side_by_side = not discriminator.has_batch_statistics
        share = math.ceil(math.ceil(batch_size / PANEL) / team.n_threads)
        rows = share * team.n_threads * PANEL  # so that each thread has room for as many panels
        options: dict[str, Any] = {"team": team, "holds_batch": holds_batch}
        self.maker = Workspace(generator, dtype, n_rows=rows, **options)
        self.judge = Workspace(discriminator, dtype, n_rows=rows * (1 + side_by_side), **options)
        self.critic = Workspace(discriminator, dtype, n_rows=rows, through_inputs=True, inputs_only=True, **options)
        # A micro-batch of one panel has no room for both kinds of samples.
        side_by_side = side_by_side and self.judge.capacity > 1
        self._settings = np.zeros(1, SETTINGS)
        self._settings["side_by_side"] = side_by_side
        self._settings["judge_panels"] = min(self.maker.capacity, self.judge.capacity // (1 + side_by_side))
        self._settings["critic_panels"] = min(self.maker.capacity, self.critic.capacity)
        self.set(**settings)
        n_conditions = int(self._settings["n_conditions"][0])
        width = int(self._settings["channels"][0] * self._settings["positions"][0])
        self.tangent = self._make_tangent(rows, options) if self._settings["gradient_penalty"][0] else None
        takes_logits = loss == "non_saturating" and discriminator.output_activation == "sigmoid"
        discriminators = [self.judge, self.critic]
        if self.tangent is not None:
            discriminators.append(self.tangent)
        for workspace in discriminators:
            workspace.set(loss=LOSSES[loss], takes_logits=takes_logits, mode=tables.Mode.TRAIN, **{"x.width": width})
        self.maker.set(**{"x.gather": NOISES[noise], "x.width": self._settings["n_noise"][0]})
        if self.tangent is None:  # the two never work at once, and what is in cache already is there for both
            self.critic.set(workspaces=self.judge.jobs["workspaces"], buffer=self.judge.jobs["buffer"])
        for workspace in (self.judge, self.maker, self.critic):
            workspace.set(mode=tables.Mode.TRAIN)
            if n_conditions:
                # Samples and conditions wait, before they are joined, where deltas come later.
                regions = workspace.plan.regions
                fields = {"x.target": regions["delta"], "condition.target": regions["other_delta"]}
                workspace.set(**fields, **{"condition.width": n_conditions, "condition.positions": 1})
        self._sums = np.empty((3, width))
        self.position, self.failed = self.judge.position, self.judge.failed
        self._held: tuple[Any, ...] = ()

    def _make_tangent(self, rows: int, options: dict[str, Any]) -> Workspace:
        """Return the workspace whose activations are as steep as the critic's; it adds to the judge's gradients."""
        kept = int(self.critic.jobs["workspaces"][0])
        tangent = Workspace(_tangent_plan(self.critic.plan, kept), self._dtype, n_rows=rows, **options)
        tangent.set(gradients=self.judge.jobs["gradients"], gradient=self.judge.jobs["gradient"])
        return tangent

    def set(self, **fields: Any) -> None:
        """Set fields of what all jobs share."""
        for name, value in fields.items():
            self._settings[name] = value

    def set_data(self, x: Rows, condition: Rows | None, batch_size: int) -> None:
        """Point the jobs to real samples and, where there are any, their conditions."""
        self._held = x, condition
        places = [(self.judge, "x", x), (self.critic, "x", x)]
        if condition is not None:
            places += [(workspace, "condition", condition) for workspace in (self.judge, self.maker, self.critic)]
        for workspace, name, rows in places:
            workspace.set(
                **{
                    f"{name}.gather": rows.gather_unit(self._dtype), f"{name}.address": rows.address,
                    f"{name}.row_stride": rows.row_stride, f"{name}.column_stride": rows.column_stride,
                }
            )  # fmt: skip
        self.judge.set(n_rows=x.n_rows, batch_size=batch_size)

    def run(
        self,
        n_steps: int,
        generator: tuple[np.ndarray, np.ndarray],
        discriminator: tuple[np.ndarray, np.ndarray],
        order: np.ndarray = _NO_ROWS,
    ) -> None:
        """Call the kernel for up to `n_steps` batches of the discriminator.

        Each network is (parameters, moments); `order` has the row numbers of the epoch.
        """
        self.judge.prepare(*discriminator, order=order)
        self.critic.prepare(discriminator[0], order=order)
        self.maker.prepare(*generator, order=order)
        tangents = self.critic.jobs
        if self.tangent is not None:
            self.tangent.prepare(discriminator[0])
            tangents = self.tangent.jobs
        run = train_adversaries_of(self._dtype)
        self._team.run(run, self.judge.jobs, n_steps, self.maker.jobs, self.critic.jobs, tangents, self._settings)

    def spread(self, n: int) -> float:
        """Return the variance of n samples, summed over their numbers: always of the same noise, after `run`."""
        return spread_of(self._dtype)(self.maker.jobs, self._settings, n, self._sums)

    def begin(self) -> None:
        """Put the running sums back to 0, and the jobs to the first row."""
        self.judge.begin()
        self.maker.clear()

    @property
    def generator_failed(self) -> bool:
        """Whether the generator's loss was not finite."""
        return bool(self.maker.failed[0])

    @property
    def first_steps(self) -> int:
        """How many steps last less than a kernel call should, before any was timed."""
        size = int(self.judge.jobs["batch_size"][0])
        return max(1, min(self.judge.first_steps(4 * size), self.maker.first_steps(2 * size)) // 2)

    def totals(self) -> dict[str, float]:
        """Return means over the samples of this epoch: losses, and shares of samples that were judged rightly."""
        judged, made = self.judge.totals(), self.maker.totals()
        weight, loss = int(tables.Sum.WEIGHT), int(tables.Sum.LOSS)
        n_judged = judged[weight] or math.nan
        return {
            "generator_loss": made[loss] / (made[weight] or math.nan), "discriminator_loss": judged[loss] / n_judged,
            "real_accuracy": judged[REAL_RIGHT] / n_judged, "made_accuracy": judged[MADE_RIGHT] / n_judged,
        }  # fmt: skip


def has_exact_penalty(plan: Plan, *, without_last: bool) -> bool:
    """Whether the gradient of a gradient is exact: products, means and piecewise-linear activations alone.

    With `without_last` the last op does not count: the loss takes logits.
    """
    kinds = plan.kinds[: len(plan.kinds) - without_last]
    return all(kind in _LINEAR or kind.name in TANGENTS for kind in kinds)


def _tangent_plan(plan: Plan, kept: int) -> Plan:
    """Return the plan without biases, its activations multiplying by slopes that follow from the outputs at `kept`."""
    kinds, details = list(plan.kinds), list(plan.details)
    for i, kind in enumerate(kinds):
        if kind.name in TANGENTS:
            kinds[i], details[i] = TANGENTS[kind.name], np.array([(kept,)], TANGENT_DETAILS)
    ops = plan.ops.copy()
    ops["bias"] = -1
    return replace(plan, ops=ops, kinds=tuple(kinds), details=tuple(details))


__all__ = ["LOSSES", "NOISES", "Adversaries", "has_exact_penalty"]
