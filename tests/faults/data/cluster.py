"""A Dask cluster of processes that prints its address and runs until its standard input is closed."""

import os
import sys

if __name__ == "__main__":
    from distributed import LocalCluster

    os.environ["DASK_DISTRIBUTED__WORKER__DAEMON"] = "True"
    with LocalCluster(
        n_workers=int(sys.argv[1]), threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as cluster:
        pids = [worker.pid for worker in cluster.workers.values()]
        print(cluster.scheduler_address, *pids, flush=True)
        sys.stdin.read()
