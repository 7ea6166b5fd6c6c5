"""One JSON line per event on standard output; leaves after the expected count."""

import json
import os
import sys


class Arguments:
    """URL COUNT [EVENT_NAME ...] and LAST_EVENT_ID."""

    def __init__(self) -> None:
        if len(sys.argv) < 3:
            sys.exit("usage: URL COUNT [EVENT_NAME ...]")
        self.url = sys.argv[1]
        self.count = int(sys.argv[2])
        self.headers = {"Accept": "text/event-stream"}
        if os.environ.get("LAST_EVENT_ID"):
            self.headers["Last-Event-ID"] = os.environ["LAST_EVENT_ID"]


class Reporter:
    """Writes events until it has seen `count` of them."""

    def __init__(self, count: int) -> None:
        self.left = count

    def report(self, event_id: str, event: str, data: str) -> None:
        line = json.dumps({"id": event_id, "event": event, "data": data}, ensure_ascii=False)
        sys.stdout.buffer.write(line.encode() + b"\n")
        sys.stdout.buffer.flush()
        self.left -= 1
        if self.left <= 0:
            # No tidy shutdown: the stream is still open and would be waited for.
            os._exit(0)
