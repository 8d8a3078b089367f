"""Entries of a report about the run itself: what made it, what it covers, and its tests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..runtimes.environment import Environment


@dataclass(frozen=True)
class Commit:
    """The commit that was judged.

    Args:
        sha: its full name.
        changed: whether tracked files differed from it.
    """

    sha: str
    changed: bool

    @property
    def short(self) -> str:
        """Its first characters, with a plus sign if files differed from it."""
        return f"{self.sha[:8]}{'+' if self.changed else ''}"


@dataclass(frozen=True)
class Provenance:
    """What made a report.

    Args:
        plugin: version of this plugin.
        commit: commit of the folder of the run; null outside a git checkout.
    """

    plugin: str
    commit: Commit | None = None


@dataclass(frozen=True)
class ErrorEntry:
    """A test of a gate that failed, or whatever kept a gate from being judged.

    Args:
        test: node id of the test; the gate's, or that of a file, if it is not one test.
        message: what is wrong, where, and what to do.
    """

    test: str
    message: str


@dataclass(frozen=True)
class Times:
    """What differs between two runs of the same input, besides measured latency.

    Args:
        started: when the run began, UTC, ISO 8601.
        finished: when the report was written.
        tests: seconds that each test of a gate took, by node id, with its fixtures.
    """

    started: str
    finished: str
    tests: Mapping[str, float]


Outcome = Literal[
    "passed", "failed", "failed, undecided", "failed as expected", "was skipped", "did not finish"
]
"""failed, undecided: it failed for nothing but a gate that is undecided."""


@dataclass(frozen=True)
class OutcomeEntry:
    """What became of one test of a gate or of a pipeline.

    Args:
        test: its node id.
        precision: label of the precision that it runs on; "" for a test that runs once.
        outcome: "passed", "failed", "failed, undecided" (for nothing but a gate that is undecided),
            "failed as expected", "was skipped", or "did not finish".
        finished: whether it was run to its end; the test that a worker died of failed and did not.
    """

    test: str
    precision: str
    outcome: Outcome
    finished: bool


@dataclass(frozen=True)
class CollectedGate:
    """A gate that pytest collected, whether or not any of its tests ran.

    Args:
        gate: node id of its class or function.
        model: name of the model; "" for a pipeline.
        key: digest that identifies the gate; "" for a pipeline.
    """

    gate: str
    model: str
    key: str


@dataclass(frozen=True)
class Scope:
    """What was collected, and what of it could not be judged.

    Args:
        gates: the gates that pytest collected, those of other shards included.
        broken: gates that could not be judged, each with the error.
        uncollected: node ids of what pytest could not collect.
        torn: node ids of the tests, of gates or not, after which a teardown failed.
    """

    gates: tuple[CollectedGate, ...] = ()
    broken: tuple[ErrorEntry, ...] = ()
    uncollected: tuple[str, ...] = ()
    torn: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """The part of a run that ``--kycquant-shard`` chose.

    Args:
        index: its number, from 1.
        of: the number of parts.
        gates: node ids of its gates and pipelines; all others belong to other parts.
        run: digest of the names of all tests of gates and of the settings that decide verdicts, the
            same in all parts.
    """

    index: int
    of: int
    gates: tuple[str, ...]
    run: str


@dataclass(frozen=True)
class Part:
    """A report that was united with others.

    Args:
        digest: its own digest.
        shard: which shard it is the report of, such as "2/3"; "" for none.
        verdict: its verdict.
        gates: node ids of the gates and pipelines that it judged.
        environment: the machine that ran them; null if none ran.
        started: when that run began, UTC, ISO 8601.
    """

    digest: str
    shard: str
    verdict: str
    gates: tuple[str, ...]
    environment: Environment | None
    started: str
