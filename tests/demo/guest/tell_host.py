"""Tells the host what happens as it happens: lines `HF-EVENT {...}` on the console, with `at` in
seconds of the machine's clock."""

import json


def tell(event: str, who: str | None, at: float, **more: object) -> None:
    """Tells an event, about one of the two clients or about neither."""
    print("HF-EVENT", json.dumps({"event": event, "who": who, "at": round(at, 6), **more}),
          flush=True)


def verdict(name: str, fault: str | None) -> None:
    """Tells whether a step went as it should."""
    print("HF-CASE", json.dumps({"name": name, "fault": fault}), flush=True)
