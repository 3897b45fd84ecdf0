"""The one entry point beside pytest: ``python -m bench quick|all|threads|compare FILE``. See README.md."""

import argparse
import sys
from pathlib import Path

from bench.limits import check_threads, limit_threads

SUBJECTS = ("images", "sequences")  # of subjects.py, which imports NumPy

# fastnn against NumPy on a quiet machine, for `quick --check`; put new ratios here when they rise.
USUAL = {"64-64-10/32": 6.0, "64-64-10/256": 2.0, "64-256-10/32": 3.0}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmarks of fastnn and its peers.")
    commands = parser.add_subparsers(dest="command", required=True)
    alone = argparse.ArgumentParser(add_help=False)
    alone.add_argument("-k", "--keyword", action="append", help="only workloads whose name, kind or section has it")
    alone.add_argument("-p", "--peer", action="append", help="only these peers; may be repeated")
    alone.add_argument("-o", "--output", type=Path, help="a JSON file for the samples")
    chosen = argparse.ArgumentParser(add_help=False, parents=[alone])
    chosen.add_argument("--threads", type=int, default=1, help="CPUs and threads that every peer may use (default 1)")

    quick = commands.add_parser("quick", parents=[chosen], help="the core workloads in few turns: half a minute to two")
    quick.add_argument("--check", action="store_true", help="for CI: fail where fastnn lost half its lead over NumPy")

    everything = commands.add_parser("all", parents=[chosen], help="everything; 25 minutes of a quiet machine")
    everything.add_argument("--pages", action="store_true", help="measure nothing, write the pages from the JSON file")

    threads = commands.add_parser("threads", help="how training and searches scale with threads; 10 minutes")
    threads.add_argument("--rounds", type=int, default=9, help="turns of each (default 9)")
    threads.add_argument(
        "--only", choices=("workloads", "many", "short", "searches"), help="one part, printed, not kept"
    )

    for name in SUBJECTS:
        commands.add_parser(name, parents=[alone], help=f"{name}, as their issue asks; -k goes on; 10 minutes")

    commands.add_parser("gans", parents=[chosen], help="two networks that train each other, alone; 3 minutes")

    compare = commands.add_parser("compare", parents=[chosen], help="a results file beside another, or beside now")
    compare.add_argument("file", type=Path, help="JSON of this program or of pytest-benchmark: the state before")
    compare.add_argument("new", type=Path, nargs="?", help="the state after; without it, it is measured now")
    compare.add_argument("--fail", type=float, metavar="RATIO", help="exit with 1 where after / before is more")
    return parser


def quick(arguments) -> int:
    if arguments.check:
        return check()  # before anything numerical is imported

    from bench.measure import Settings
    from bench.report import comparison
    from bench.results import Table
    from bench.run import choose, run

    settings = Settings(arguments.threads, rounds=5, slow_rounds=1, process_rounds=1, seconds=0.02)
    found = run(choose(arguments.keyword or ["core"]), settings, arguments.peer, arguments.output)
    table = Table(found)
    workloads = list(dict.fromkeys(workload for workload, _ in table.entries))
    print("\n" + comparison(table, workloads, table.peers(workloads)))
    return 0


def check() -> int:
    """fastnn and NumPy in turn, in this process: a lost vectorisation is caught, a noisy machine is not."""
    limit_threads(1)
    from bench.crew import Crew
    from bench.measure import Settings
    from bench.worker import LocalWorker
    from bench.workloads import TRAIN

    failed = False
    with Crew(Settings(rounds=15, seconds=0.02), LocalWorker) as crew:
        for workload in TRAIN:
            if workload.name not in USUAL:
                continue
            result = crew.measure(workload, ["fastnn", "numpy"])
            if result.skipped:
                print(f"check: {result.skipped}")
                return 2
            ratio, floor = result.median("numpy") / result.median("fastnn"), USUAL[workload.name] / 2
            verdict = "ok" if ratio >= floor else "TOO SLOW: was something no longer vectorised?"
            failed |= ratio < floor
            print(f"{workload.name}: {ratio:.2f}x NumPy (usually {USUAL[workload.name]}, at least {floor}): {verdict}")
    return int(failed)


def everything(arguments) -> int:
    from bench import report
    from bench.measure import Settings
    from bench.run import choose, run

    partly = bool(arguments.keyword or arguments.peer or arguments.threads > 1)
    if partly and not arguments.output:
        raise SystemExit("python -m bench all: a part of the run needs -o FILE, or it would replace the whole results")
    if not arguments.pages:
        output = arguments.output or report.ONE_THREAD
        run(choose(arguments.keyword), Settings(arguments.threads), arguments.peer, output)
    if not partly:
        report.write_pages(arguments.output or report.ONE_THREAD)
        if not arguments.pages:
            from bench import estimator_scores

            report.insert(report.PAGE, "scores", estimator_scores.part())
    return 0


def subject(arguments) -> int:
    from bench.subjects import SUBJECTS

    SUBJECTS[arguments.command].measure(arguments.keyword, arguments.peer, arguments.output)
    return 0


def gans(arguments) -> int:
    from bench import report
    from bench.measure import Settings
    from bench.results import Table
    from bench.run import choose, run

    output = arguments.output or report.GANS
    run(choose(arguments.keyword or ["gan"]), Settings(arguments.threads), arguments.peer, output)
    if not arguments.output:
        report.insert(report.PAGE, "gans", report.gans_part(Table.read(output)))
    return 0


def threads(arguments) -> int:
    from bench import report, results, searches
    from bench import threads as suite
    from bench.threads_report import figures
    from bench.threads_report import report as describe
    from fastnn.common.cpus import available_cpus

    if available_cpus() == 1:
        raise SystemExit("python -m bench threads: only one CPU is available to this process, nothing to compare")
    if arguments.only == "searches":
        print(searches.part(available_cpus(), repeats=5))
    elif arguments.only:
        suite.PARTS[arguments.only](arguments.rounds)
    else:
        measured = suite.measure(arguments.rounds)
        document = figures(measured)
        results.write(report.THREADS, document)
        report.insert(report.PAGE, "threads", describe(measured, document))
        report.insert(report.PAGE, "searches", searches.part(available_cpus(), repeats=5))
    return 0


def compare(arguments) -> int:
    from bench.compare import machines_differ, report
    from bench.measure import Settings
    from bench.results import Table
    from bench.run import choose, run

    before = Table.read(arguments.file)
    if arguments.new:
        after = Table.read(arguments.new)
    else:
        names = {workload for workload, _ in before.entries}
        chosen = [w for w in choose(arguments.keyword) if w.name in names]
        after = Table(run(chosen, Settings(arguments.threads), arguments.peer or ["fastnn"], arguments.output))
    text, worst = report(before, after, arguments.peer or [])
    print("\n" + text)
    if warning := machines_differ(before, after):
        print(warning)
    return int(arguments.fail is not None and worst > arguments.fail)


def main(argv=None) -> int:
    arguments = _parser().parse_args(argv)
    commands = {"quick": quick, "all": everything, "threads": threads, "compare": compare, "gans": gans}
    command = commands.get(arguments.command, subject)
    try:
        check_threads(getattr(arguments, "threads", 1))
        return command(arguments)
    except ValueError as error:
        raise SystemExit(f"python -m bench {arguments.command}: {error}") from None


if __name__ == "__main__":
    sys.exit(main())
