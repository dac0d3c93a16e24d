"""`python -m tests.bench [names…]`: run the benchmarks, print a table, merge it into `.forge/bench.json`.

`SCALE=full` takes the headline sizes; without it everything together ends within ten minutes. A goal that is missed is
said, not punished: the status is 0 unless a benchmark could not run or its two sides did not do the same work.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from django.utils.module_loading import import_string

from forge.env import STATE_DIR
from tests.bench import cold_start
from tests.bench.measure import HEADER, measure, merge
from tests.bench.server import servers

BENCHMARKS = {
    "audit_append_vs_plain": "tests.bench.audit_append.BENCHMARK",
    "audit_append_vs_single_chain_early": "tests.bench.audit_lanes.EARLY",
    "audit_append_vs_single_chain_late": "tests.bench.audit_lanes.LATE",
    "audit_insert_vs_peers": "tests.bench.audit_peers.BENCHMARK",
    "audit_offline_verify_rows_per_s": "tests.bench.audit_offline.BENCHMARK",
    "audit_proof_ms": "tests.bench.audit_proof.FIGURE",
    "audit_seal_cost_growth": "tests.bench.audit_seal.BENCHMARK",
    "audit_verify_rows_per_s_per_core": "tests.bench.audit_verify.BENCHMARK",
    "metering_vs_bare_sql": "tests.bench.metering.BENCHMARK",
    "metering_idle_vs_scan": "tests.bench.metering.IDLE",
    "metering_1m": "tests.bench.metering_million.FIGURE",
    "dashboard_flatness": "tests.bench.dashboards.FLATNESS",
    "dashboard_vs_group_by": "tests.bench.dashboards.GROUP_BY",
    "dashboard_vs_duckdb": "tests.bench.dashboards.DUCKDB",
    "cur_import_vs_copy": "tests.bench.bills.BENCHMARK",
    "lifecycle_sweep_growth": "tests.bench.lifecycle.BENCHMARK",
    "list_vs_bare_view": "tests.bench.listing.BENCHMARK",
    "admin_list_growth": "tests.bench.lists.GROWTH",
    "api_p99_under_load": "tests.bench.load.FIGURE",
    "rls_overhead": "tests.bench.lists.OVERHEAD",
    "reconcile_calls_per_1000": "tests.bench.reconciling.FIGURE",
    "launch_throughput_vs_bare_tx": "tests.bench.throughput.BENCHMARK",
    "sweep_peak_memory": "tests.bench.memory.FIGURE",
    "admission_vs_bare_lock": "tests.bench.admission.BENCHMARK",
}
"""By dotted path: the modules hold models, which want the settings that the servers below give."""


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in BENCHMARKS and name != cold_start.NAME]
    if unknown:
        known = ", ".join([*BENCHMARKS, cold_start.NAME])
        print(f"Not a benchmark: {', '.join(unknown)}. Known: {known}.", file=sys.stderr)
        return 2
    if cold_start.NAME in names:
        entry = cold_start.measure()
        print(cold_start.told(entry), flush=True)
        merge({cold_start.NAME: entry}, STATE_DIR / "bench.json")
        names = [name for name in names if name != cold_start.NAME]
        if not names:
            return 0
    size = os.environ.get("SCALE", "quick")
    with servers() as running:
        print(
            f"{running.told}; SCALE={size}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n\n{HEADER}",
            flush=True,
        )
        for name in names or BENCHMARKS:
            began = time.monotonic()
            with running.database():
                result = measure(import_string(BENCHMARKS[name]), size)
            print(f"{result.line()}  {time.monotonic() - began:4.0f} s", *result.table(), sep="\n", flush=True)
            merge({name: result.as_json()}, STATE_DIR / "bench.json")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # or the servers' folder would stay
    sys.exit(main(sys.argv[1:]))
