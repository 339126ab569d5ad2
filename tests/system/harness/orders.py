"""The loop of a helper process: it takes orders as JSON lines, and answers each with one.

The process ends by itself when the pipe closes.
"""

import json
import sys
from typing import Any, Callable


def serve(orders: dict[str, Callable[..., Any]]) -> None:
    """Reads {"do": name, ...arguments} from standard input until it ends."""
    for line in sys.stdin:
        order = json.loads(line)
        try:
            answer = {"value": orders[order.pop("do")](**order)}
        except Exception as error:  # pylint: disable=broad-except
            answer = {"error": type(error).__name__, "text": str(error),
                      "errno": getattr(error, "errno", None)}
        print(json.dumps(answer), flush=True)


def rename(name: str) -> None:
    """Changes the command name of the process; every helper process has this order."""
    with open("/proc/self/comm", "w", encoding="utf-8") as file:
        file.write(name)
