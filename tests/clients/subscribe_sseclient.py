"""Python `sseclient-py` over `requests`."""

import sys
from collections.abc import Iterator

import requests
from sseclient import SSEClient

from report import Arguments, Reporter

READ_BYTES_MAX = 65_536


class Arrivals:
    """The body as it arrives.

    `requests` would wait for a full chunk before handing anything on.
    """

    def __init__(self, response: requests.Response) -> None:
        self.raw = response.raw

    def __iter__(self) -> Iterator[bytes]:
        # `requests` asks for gzip and leaves it to its own, slower reader to unpack it.
        while chunk := self.raw.read1(READ_BYTES_MAX, decode_content=True):
            yield chunk

    def close(self) -> None:
        self.raw.close()


def main() -> None:
    arguments = Arguments()
    reporter = Reporter(arguments.count)
    session = requests.Session()
    session.trust_env = False
    response = session.get(
        arguments.url, headers=arguments.headers, stream=True, timeout=(10, None)
    )
    response.raise_for_status()
    for event in SSEClient(Arrivals(response)).events():
        reporter.report(event.id or "", event.event, event.data)
    sys.exit("stream ended")


main()
