"""Makes raw Admin API calls and measures them, as the baseline for qmcpd.

raw.py SOCKET    for each input line `RUNS METHOD ARG DEST,METHOD ARG DEST,…`, prints the median of RUNS rounds in milliseconds
"""

import socket
import statistics
import sys
import time


def exchange(path: str, request: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(path)
        peer.sendall(request)
        peer.shutdown(socket.SHUT_WR)
        while peer.recv(65536):
            pass


for line in sys.stdin:
    runs, _, calls = line.strip().partition(" ")
    requests = [
        f"{method}+{arg.strip('-')} dom0 name {dest}\0".encode()
        for method, arg, dest in map(str.split, calls.split(","))
    ]
    times = []
    for _ in range(int(runs)):
        start = time.perf_counter()
        for request in requests:
            exchange(sys.argv[1], request)
        times.append(time.perf_counter() - start)
    print(1000 * statistics.median(times), flush=True)
