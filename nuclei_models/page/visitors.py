"""What each visitor asks. Only the last question counts: asking another drops it, and its run is cancelled.

A visitor's page names what it shows by keys (see `store.py`), and every event says which key it is about. So an event
that was sent before the picture changed can be told from one that was sent after, and an answer that comes too late is
not shown.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .limits import STATE_SECONDS
from .questions import Question, SetQuestion, Turn, Visitor


class Visitors:
    """All visitors, by the hash of their session."""

    def __init__(self, forget: Callable[[str], None], seconds: float = STATE_SECONDS):
        """Args:
        forget: Called with each key that a page shows no more.
        seconds: After which a visitor who isn't heard of is forgotten.
        """
        self.forget, self.seconds = forget, seconds
        # called once a run is dropped
        self.leave_queue: Callable[[str], None] = lambda session: None
        self.leave_set_queue: Callable[[str], None] = lambda session: None
        self._by_session: OrderedDict[str, Visitor] = OrderedDict()  # the last heard of at the end
        self._changed = threading.Condition()

    def ask(self, session: str, number: float, question: Question, about: str | None = None) -> bool:
        """Take a new question, which drops the visitor's last one.

        Args:
            session: The visitor's.
            number: Of the event, as the visitor's browser counts. Events may arrive in another order than they were
                sent: a question that was sent before the last one isn't taken. A new file is, unless a newer one is
                there: what was asked after it can only have been about the file before.
            question: To open an image, and then nothing is shown until the answer is there; or to run the networks.
            about: The key of the file that it is about, or of the image, if it is to run the networks; if the page
                doesn't show that any more, the question isn't taken.

        Returns:
            Whether it was taken.
        """
        with self._changed:
            visitor = self._visitor(session)
            runs = question.picture is not None
            opens = not runs and about is None
            if number < (visitor.opened if opens else visitor.number) or (runs and number < visitor.cancelled):
                return False
            if about is not None and about != (visitor.picture if runs else visitor.source):
                return False
            dropped = self._drop_question(visitor)
            visitor.question, visitor.number = question, max(visitor.number, int(number))
            visitor.opened = int(number) if opens else visitor.opened
            if not runs:
                self._show(visitor, source=visitor.source if about else "", picture="", result="")
        if dropped:
            self.leave_queue(session)
        return True

    def question(self, session: str, key: str | None) -> Question | None:
        """The visitor's question of this key, if it still counts."""
        with self._changed:
            question = self._visitor(session).question
            return question if question is not None and question.key == key else None

    def answer(self, session: str, question: Question, **shown: str) -> bool:
        """The answer is there: these keys name what the page shows from now on. `False` if the question was dropped."""
        with self._changed:
            visitor = self._visitor(session)
            if visitor.question is not question:
                return False
            visitor.question = None
            self._show(visitor, **shown)
            self._changed.notify_all()
            return True

    def picture(self, session: str, seconds: float = 60) -> str:
        """The key of the image that the page shows, or is about to show: waited for if it is being read. "" if none."""
        with self._changed:
            visitor = self._visitor(session)
            self._changed.wait_for(lambda: visitor.question is None or visitor.question.picture is not None, seconds)
            return visitor.picture

    def cancel(self, session: str, number: float) -> bool:
        """Drop the visitor's run, also one that was sent before and arrives later; what is shown stays.

        Args:
            number: See `ask`.

        Returns:
            Whether there was one without a result.
        """
        with self._changed:
            visitor = self._visitor(session)
            visitor.cancelled = max(visitor.cancelled, int(number))
            runs = visitor.question is not None and visitor.question.picture is not None
            dropped = runs and self._drop_question(visitor)
        if dropped:
            self.leave_queue(session)
        return dropped

    # several images

    def show_set(self, session: str, number: float, key: str) -> bool:
        """The page shows this set from now on, or none; its last one is forgotten, and a run of it stops.

        Returns:
            Whether no later event has shown another.
        """
        with self._changed:
            visitor = self._visitor(session)
            if number < visitor.set_number:
                return False
            visitor.set_number = int(number)
            dropped = self._drop_set_question(visitor)
            self._show(visitor, images=key)
        if dropped:
            self.leave_set_queue(session)
        return True

    def set_of(self, session: str) -> str:
        """The key of the set that the page shows, "" if none."""
        with self._changed:
            return self._visitor(session).images

    def ask_set(self, session: str, number: float, question: SetQuestion) -> bool:
        """As `ask`, for a run of the set that is shown."""
        with self._changed:
            visitor = self._visitor(session)
            if number < max(visitor.set_number, visitor.cancelled) or visitor.images != question.images:
                return False
            visitor.set_number = int(number)
            dropped = self._drop_set_question(visitor)
            visitor.set_question = question
        if dropped:
            self.leave_set_queue(session)
        return True

    def set_question(self, session: str, key: str | None) -> SetQuestion | None:
        """The visitor's question of this key about a set, if it still counts."""
        with self._changed:
            question = self._visitor(session).set_question
            return question if question is not None and question.key == key else None

    def end_set(self, session: str, question: SetQuestion) -> None:
        """All images are done."""
        with self._changed:
            visitor = self._visitor(session)
            if visitor.set_question is question:
                visitor.set_question = None

    def cancel_set(self, session: str) -> bool:
        """Drop the run of a set; the images that are done stay. -> whether there was one."""
        with self._changed:
            dropped = self._drop_set_question(self._visitor(session))
        if dropped:
            self.leave_set_queue(session)
        return dropped

    def arrive(self, session: str, picture: str, result: str) -> bool:
        """A result has come of the image with this key. -> whether the page shows that image, and so the result."""
        with self._changed:
            visitor = self._visitor(session)
            opens = visitor.question is not None and visitor.question.picture is None
            if opens or visitor.picture != picture:
                return False
            self._show(visitor, result=result)
            return True

    def leave(self, session: str) -> None:
        """A visitor has gone: nobody waits for any answer. What is shown is kept, for they may come back."""
        with self._changed:
            visitor = self._visitor(session)
            self._drop_question(visitor)
            self._drop_set_question(visitor)
            for call in visitor.calls:
                call.drop()

    def take_turn(self, session: str, result: str | None, number: float, *kinds: str) -> "Turn | None":
        """An event about a result begins; `None` if the page doesn't show that result any more.

        Args:
            result: Its key.
            number: Of the event, as the visitor's browser counts: events may arrive in another order than they were
                sent.
            kinds: The events of these kinds that were sent before it count no more.
        """
        with self._changed:
            visitor = self._visitor(session)
            if not result or result != visitor.result:
                return None
            for kind in kinds:
                visitor.turns[kind] = max(visitor.turns.get(kind, 0), int(number))
            return Turn(visitor, result, int(number))

    @contextmanager
    def call(self, session: str) -> Iterator[Callable[[], None]]:
        """A run of the public endpoint: what raises `Cancelled` in it once the caller has left."""
        call = Question()
        with self._changed:
            calls = self._visitor(session).calls
            calls.append(call)
        try:
            yield call.check
        finally:
            with self._changed:
                calls.remove(call)

    def _drop_question(self, visitor: Visitor) -> bool:
        question, visitor.question = visitor.question, None
        if question is not None:
            question.drop()
            self._changed.notify_all()
        return question is not None

    def _drop_set_question(self, visitor: Visitor) -> bool:
        question, visitor.set_question = visitor.set_question, None
        if question is not None:
            question.drop()
        return question is not None

    def _show(self, visitor: Visitor, **shown: str) -> None:
        for name, key in shown.items():
            if (old := getattr(visitor, name)) and old != key:
                self.forget(old)
            setattr(visitor, name, key)
            if name == "result":
                visitor.turns, visitor.picked, visitor.counted = {}, None, {}

    def _visitor(self, session: str) -> Visitor:
        now = time.monotonic()
        visitor = self._by_session.pop(session, None) or Visitor()
        visitor.seen = now
        self._by_session[session] = visitor
        while (oldest := next(iter(self._by_session.values()))).seen + self.seconds < now:
            self._by_session.popitem(last=False)
            self._drop_question(oldest)
            self._drop_set_question(oldest)
        return visitor
