"""Python `httpx-sse`."""

import sys

import httpx
from httpx_sse import connect_sse

from report import Arguments, Reporter


def main() -> None:
    arguments = Arguments()
    reporter = Reporter(arguments.count)
    timeout = httpx.Timeout(10, read=None)
    with httpx.Client(timeout=timeout, trust_env=False) as client:
        with connect_sse(client, "GET", arguments.url, headers=arguments.headers) as source:
            source.response.raise_for_status()
            for event in source.iter_sse():
                reporter.report(event.id, event.event, event.data)
    sys.exit("stream ended")


main()
