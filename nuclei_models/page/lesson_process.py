"""The process that trains a network for the page: `nuclei train`'s function at low priority, told and stopped by lines.

Each line that it writes is JSON: what it is doing, at the end what came of it, or an error. It stops when a line comes
in, or when the page that began it is gone, and keeps the best so far.
"""

import _thread
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TextIO

LOWEST = 19  # niceness


def main(arguments: list[str], lines: TextIO, said: TextIO, train: Callable[..., Any] | None = None) -> int:
    """-> exit code.

    Args:
        arguments: Folder, folder of the result, model to begin with, minutes.
        lines: Where the word to stop comes from.
        said: Where lines go.
        train: In place of `nuclei_models.training.train`.
    """
    folder, out, model, minutes = arguments
    # a shell that starts the page in the background has it ignore interrupts, and so would this process
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(os, "nice"):
        os.nice(LOWEST)

    def tell(**what: Any) -> None:
        print(json.dumps(what), file=said, flush=True)

    def listen() -> None:
        lines.readline()
        _thread.interrupt_main()

    try:
        if train is None:
            from nuclei_models.training import train as by_function

            train = by_function
        threading.Thread(target=listen, daemon=True).start()
        result = train(
            folder,
            out,
            model=model,
            minutes=float(minutes),
            progress=lambda now: tell(stage=now.stage, left=now.left, step=now.step, loss=now.loss, curve=now.curve),
        )
    except KeyboardInterrupt:
        tell(error="Stopped before there was a result.")
        return 1
    except ImportError as error:
        tell(error=f'Training needs more packages ({error}): pip install "nuclei-models[train]".')
        return 1
    except Exception as error:
        tell(error=str(error) or type(error).__name__)
        return 1
    tell(kept=result.kept, why=result.why, figures=result.figures, notes=result.notes, trained=result.is_trained)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin, sys.stdout))
