"""A visitor who has changed their mind leaves Gradio's queue at once, and holds up nobody.

Gradio offers to cancel events, but its browser side (gradio 6.31) doesn't say which, and those that wait stay in the
queue. So they are taken out here, on the server.
"""

from collections.abc import Callable, Collection

import gradio as gr
from anyio import from_thread
from gradio.queueing import Queue
from gradio.server_messages import ProcessCompletedMessage


def leaver(blocks: gr.Blocks, events: Collection[int], answer: list) -> Callable[[str], None]:
    """-> function of a visitor's session that takes their waiting events out of the queue; to be called in a handler.

    Args:
        events: Numbers of the events in question.
        answer: What the visitor's browser is told, in place of their results.
    """

    def leave(session: str) -> None:
        from_thread.run(_take_out, blocks._queue, session, events, answer)

    return leave


async def _take_out(queue: Queue, session: str, events: Collection[int], answer: list) -> None:
    async with queue.delete_lock:
        for waiting in queue.event_queue_per_concurrency_id.values():
            for event in [e for e in waiting.queue if e.session_hash == session and e.fn._id in events]:
                waiting.queue.remove(event)
                queue.event_ids_to_events.pop(event._id, None)
                queue.send_message(event, ProcessCompletedMessage(output={"data": answer}, success=True))
