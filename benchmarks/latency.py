"""Are verdicts on latency right while other processes load all cores?

A model is compared with itself (A/A) and with a model that is 15 % slower. The slower one runs the
model and then repeats its first operators. Their number is chosen before the load starts, so that
the ratio of thread CPU time is as close to 1.15 as possible. Every run opens new sessions. For
comparison, the same is done in the usual ways: all runs of one model and then all of the other, or
both in turns, with a ratio that is compared with the limit. ^C prints the results so far.
The benchmark makes the load itself: one process pinned to each core, which multiplies matrices and
runs another model without pause. Other work on the machine adds to it. Run with::

    python -m benchmarks.latency [--runs N] [--model NAME] [--idle]

"At the limit" is A/A with a limit of 1.00, where the truth is neither below nor above the limit. It
shows how often the interval is wrong on either side, with and without the control's charge.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.utils import Extractor
from tabulate import tabulate

from pytest_kycquant import Verdict
from pytest_kycquant.measure.latency import Call, Latency, measure
from pytest_kycquant.runtimes.environment import describe_machine
from pytest_kycquant.runtimes.ort import open_session
from pytest_kycquant.spec.limits import Limits
from pytest_kycquant.verdicts import Limit

MODELS = Path(__file__).resolve().parent.parent / "models"
SHAPES = {"minifasnet": (1, 3, 80, 80), "arcface": (1, 3, 112, 112)}
LIMIT, NONE_SLOWER = (Limits(latency_ratio=ratio)["latency_ratio"] for ratio in (1.05, 1.0))
SLOWER, NARROW = 1.15, 0.10
NAIVE_RUNS = 20  # runs of each model
AT_LIMIT = 5  # every fifth run is also done at the limit, where it takes all rounds


@dataclass(frozen=True, eq=False)
class Case:
    """A model with an input, and how to make it slower.

    Args:
        content: the serialized model.
        extra: its first operators, as a serialized model of their own.
        array: an image.
    """

    content: bytes
    extra: bytes
    array: NDArray[np.float32]

    def run(self, content: bytes) -> Call:
        session = open_session(content)
        feed = {session.get_inputs()[0].name: self.array}
        return lambda: session.run(None, feed)

    def model(self) -> Call:
        return self.run(self.content)

    def slower(self) -> Call:
        whole, again = self.model(), self.run(self.extra)
        return lambda: (whole(), again())


def case_of(name: str) -> Case:
    """Choose the number of repeated operators that makes a model 15 % slower."""
    content = (MODELS / f"{name}_fp32.onnx").read_bytes()
    array = np.random.default_rng(0).random(SHAPES[name], np.float32)
    proto = onnx.shape_inference.infer_shapes(onnx.load_from_string(content))
    extractor = Extractor(proto)
    outputs = [node.output[0] for node in proto.graph.node if node.op_type != "Constant"]

    def first(number: int) -> Case:
        inputs = [proto.graph.input[0].name]
        part = extractor.extract_model(inputs, [outputs[number - 1]])
        return Case(content, part.SerializeToString(), array)

    low, high = 1, len(outputs)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if ratios(first(middle))[1] < SLOWER else (low, middle)
    near = {first(n): ratios(first(n))[1] for n in (low, high)}
    return min(near, key=lambda case: abs(near[case] - SLOWER))


def ratios(case: Case, times: int = 3, rounds: int = 60) -> list[float]:
    """Measured ratios in ascending order, each with new sessions."""
    found = []
    for _ in range(times):
        fp32, slower, again = case.model(), case.slower(), case.model()
        found.append(measure(fp32, again, slower, LIMIT, looks=(rounds,)).ratio)
    return sorted(found)


@contextlib.contextmanager
def load(name: str) -> Iterator[None]:
    """Keep every core busy."""
    command = [sys.executable, "-m", "benchmarks.latency", "--model", name, "--busy"]
    cores = sorted(os.sched_getaffinity(0))
    # The load runs in sessions of its own, so that ^C reaches only the measurement.
    busy = [subprocess.Popen([*command, str(core)], start_new_session=True) for core in cores]
    try:
        time.sleep(3)  # the processes import their modules first
        if any(process.poll() is not None for process in busy):
            raise SystemExit("the load did not start")
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def keep_busy(name: str, core: int) -> None:
    """Work as one process of the load, until it is killed or its parent is gone."""
    os.sched_setaffinity(0, {core})
    parent = os.getppid()
    other = next(key for key in SHAPES if key != name)
    run = Case(
        (MODELS / f"{other}_fp32.onnx").read_bytes(), b"", np.ones(SHAPES[other], np.float32)
    ).model()
    matrix = np.random.default_rng(core).random((700, 700), np.float32)
    while os.getppid() == parent:
        for _ in range(20):
            run()
            matrix @ matrix


def naive(one: Call, other: Call) -> dict[str, float]:
    """Ratios as they are usually measured."""
    for _ in range(5):
        one(), other()

    def timed(run: Call) -> tuple[int, int]:
        wall, thread = time.perf_counter_ns(), time.thread_time_ns()
        run()
        return time.perf_counter_ns() - wall, time.thread_time_ns() - thread

    blocks = [np.array([timed(run)[0] for _ in range(NAIVE_RUNS)]) for run in (one, other)]
    turns = np.array([(timed(one), timed(other)) for _ in range(NAIVE_RUNS)])
    first, second = turns[:, 0].T.astype(float), turns[:, 1].T.astype(float)
    return {
        "block after block, wall clock, mean": blocks[1].mean() / blocks[0].mean(),
        "block after block, wall clock, median": np.median(blocks[1]) / np.median(blocks[0]),
        "in turns, wall clock, mean": second[0].mean() / first[0].mean(),
        "in turns, wall clock, median ratio": float(np.median(second[0] / first[0])),
        "in turns, wall clock, minimum": second[0].min() / first[0].min(),
        "in turns, thread CPU time, median ratio": float(np.median(second[1] / first[1])),
    }


def spread(ratios: list[float]) -> str:
    low, high = np.quantile(ratios, (0.05, 0.95))
    return f"{low:.3f} to {high:.3f} ({min(ratios):.2f} to {max(ratios):.2f})"


def share(count: int, of: int) -> str:
    return f"{count} of {of}"


def verdict(latency: Latency, limit: Limit) -> Verdict:
    return limit.judge(latency.lower, latency.upper)


def width(latency: Latency) -> float:
    return latency.upper - latency.lower


def without_charge(latency: Latency) -> Latency:
    """The same rounds without the control's charge."""
    lower, upper = latency.lower * latency.control, latency.upper / latency.control
    return replace(latency, lower=lower, upper=upper)


def gather(case: Case, runs: int) -> tuple[dict[str, list[Latency]], dict[str, list[list[float]]]]:
    """All measurements: ours by case, the usual ones by name, for A/A and for the slower model."""
    ours: dict[str, list[Latency]] = {"A/A": [], "15 % slower": [], "at the limit": []}
    usual: dict[str, list[list[float]]] = {}
    with contextlib.suppress(KeyboardInterrupt):
        for number in range(runs):
            # The control comes last, as in the gates.
            fp32, same, slower, again = case.model(), case.model(), case.slower(), case.model()
            ours["A/A"].append(measure(fp32, again, same, LIMIT))
            ours["15 % slower"].append(measure(fp32, again, slower, LIMIT))
            if number % AT_LIMIT == 0:
                ours["at the limit"].append(measure(fp32, again, same, NONE_SLOWER))
            for index, run in enumerate((same, slower)):
                for method, ratio in naive(fp32, run).items():
                    usual.setdefault(method, [[], []])[index].append(ratio)
            if sys.stderr.isatty():
                print(f"\r{number + 1} of {runs}", end="", file=sys.stderr)
    return ours, usual


def report(ours: dict[str, list[Latency]], usual: dict[str, list[list[float]]]) -> Iterator[str]:
    runs = len(ours["15 % slower"])
    headers = ["", "A/A, 5 to 95 % (all)", "false FAIL", "15 % slower, 5 to 95 % (all)", "FAIL"]
    ratios = [[latency.ratio for latency in ours[name]] for name in ("A/A", "15 % slower")]
    failed = [
        sum(verdict(latency, LIMIT) is Verdict.FAIL for latency in ours[name])
        for name in ("A/A", "15 % slower")
    ]
    rows = []
    for method, found in usual.items():
        counts = [
            sum(LIMIT.judge(ratio, ratio) is Verdict.FAIL for ratio in part) for part in found
        ]
        rows.append((method, found, counts))
    rows.append(("**this plugin**", ratios, failed))
    table = [
        [
            method,
            *(cell for i in (0, 1) for cell in (spread(found[i]), share(counts[i], len(found[i])))),
        ]
        for method, found, counts in rows
    ]
    yield tabulate(table, headers=headers, tablefmt="github", disable_numparse=True)
    yield ""
    table = []
    uncharged = [without_charge(latency) for latency in ours["at the limit"]]
    cases = {**ours, "at the limit, nothing charged": uncharged}
    limits = (LIMIT, LIMIT, NONE_SLOWER, NONE_SLOWER)
    for (name, found), limit in zip(cases.items(), limits, strict=True):
        verdicts = [verdict(latency, limit) for latency in found]
        counted = Counter(verdicts)
        undecided = [
            width(latency)
            for latency, said in zip(found, verdicts, strict=True)
            if said is Verdict.INCONCLUSIVE
        ]
        table.append(
            [
                name,
                counted[Verdict.PASS],
                counted[Verdict.FAIL],
                sum(each < NARROW for each in undecided),
                sum(each >= NARROW for each in undecided),
                f"{np.mean([latency.rounds for latency in found]):.0f}",
                f"{np.median([width(latency) for latency in found]):.3f}",
                f"{100 * (np.quantile([latency.control for latency in found], 0.95) - 1):.1f} %",
            ]
        )
    headers = ["this plugin", "PASS", "FAIL", "INCONCLUSIVE, width < .10", "wider"]
    headers += ["rounds, mean", "width, median", "FP32 and itself apart, 95 %"]
    yield tabulate(table, headers=headers, tablefmt="github", disable_numparse=True)
    (_, _, a_fail, narrow, *_), (_, _, found_slow, *_) = table[:2]
    good = a_fail == 0 and table[0][1] + narrow >= math.ceil(0.95 * len(ours["A/A"]))
    good &= found_slow >= math.ceil(0.95 * runs)
    yield (
        "goals (A/A: no FAIL, PASS or a width < .10 in 95 %; slower: FAIL in 95 %): "
        + ("met" if good else "missed")
    )


def orders(case: Case, triples: int) -> str:
    """A/A by the order in which the sessions are opened: does the order favour one of them?"""
    roles = ("FP32", "control", "variant")
    table = []
    for order in itertools.permutations(range(len(roles))):
        found = []
        for _ in range(triples):
            opened = {role: case.model() for role in order}
            found.append(measure(opened[0], opened[1], opened[2], LIMIT, looks=(40,)))
        ratios = np.log([latency.ratio for latency in found])
        table.append(
            [
                ", ".join(roles[role] for role in order),
                f"{100 * ratios.mean():+.2f} %",
                f"{100 * ratios.std(ddof=1) / math.sqrt(triples):.2f}",
                f"{100 * (np.median([latency.control for latency in found]) - 1):.2f} %",
            ]
        )
    headers = ["opened in this order", "A/A, mean - 1", "standard error", "charged by the control"]
    return tabulate(table, headers=headers, tablefmt="github", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="runs of each case (default 200)")
    parser.add_argument("--model", choices=SHAPES, default="minifasnet")
    parser.add_argument("--idle", action="store_true", help="do not load the cores")
    parser.add_argument(
        "--orders", type=int, metavar="N", help="only A/A by order of opening, N runs each"
    )
    parser.add_argument("--busy", type=int, metavar="CORE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.busy is not None:
        keep_busy(given.model, given.busy)
        return
    case = case_of(given.model)
    if given.orders:
        print(f"{describe_machine()}\n{given.model}\n{orders(case, given.orders)}")
        return
    truth = ratios(case, 5, 100)
    print(describe_machine())
    print(
        f"{given.model}; the slower model takes {truth[2]:.3f} of its thread CPU time before the "
        f"load ({truth[0]:.3f} to {truth[-1]:.3f} in 5 measurements of 100 rounds)",
        flush=True,
    )
    with contextlib.nullcontext() if given.idle else load(given.model):
        busy = f"load of all CPUs, average {os.getloadavg()[0]:.1f} at the start"
        ours, usual = gather(case, given.runs)
        print(f"{busy}, {os.getloadavg()[0]:.1f} at the end; {len(ours['A/A'])} runs", flush=True)
    lines = list(report(ours, usual))
    print("\n".join(lines))
    raise SystemExit(lines[-1].endswith("missed"))


if __name__ == "__main__":
    main()
