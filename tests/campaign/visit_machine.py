"""Any sequence of what two visitors do on the page, as hypothesis draws it; `expected.py` says what must come of it."""

from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from nuclei_models.page.levels import WHOLE
from nuclei_models.page.networks import Networks

from .expected import BROKEN, FILES, STACK, Library
from .visits import World

who = st.integers(0, 1)
PHASES = (Phase.generate, Phase.shrink)


class Visits(RuleBasedStateMachine):
    """Rules are what visitors do and what time does."""

    library: Library
    tried: "Tried"

    def __init__(self):
        super().__init__()
        self.world = World(self.library)
        self.tried.sequences += 1

    @initialize(names=st.tuples(*[st.sampled_from([*FILES, STACK])] * 2), first=st.booleans())
    def begin_with_results(self, names, first):
        """What is worth mixing up must be there."""
        for visitor, name in zip(self.world.visitors, names, strict=True):
            self.world.choose(visitor, name)
            self.world.settle()
            if first or visitor is self.world.visitors[0]:
                self.world.run(visitor)
        self.world.settle()

    @rule(who=who, name=st.sampled_from([*FILES, STACK, BROKEN, None]))
    def choose(self, who, name):
        self.world.choose(self.world.visitors[who], name)

    @rule(who=who)
    def click_an_example(self, who):
        visitor = self.world.visitors[who]
        self.world.choose(visitor, "new.tif", example=True)

    @rule(who=who, z=st.integers(1, 3), channel=st.integers(0, 1))
    def choose_a_plane(self, who, z, channel):
        self.world.choose_plane(self.world.visitors[who], z, channel)

    @rule(who=who, size=st.sampled_from([None, 0.3, 0.25, 0.1, 1.0]))
    def type_a_pixel_size(self, who, size):
        visitor = self.world.visitors[who]
        visitor.values["pixel_size"] = size
        self.world.send(visitor, "size")

    @rule(who=who, slider=st.sampled_from(["threshold", "separation", "min_area"]), at=st.integers(0, 3))
    def move_a_slider(self, who, slider, at):
        visitor = self.world.visitors[who]
        choices = {"threshold": (0.3, 0.7, 0.9), "separation": (0.2, 0.6, 0.9), "min_area": (0, 6, 20)}[slider]
        visitor.values[slider] = (self.world.fitted[slider], *choices)[at]
        self.world.slide(visitor)

    @rule(
        who=who, size=st.sampled_from([None, 0.3, 0.25, 1.0]), at=st.integers(0, 3), choices=st.lists(st.integers(0, 5))
    )
    def change_two_things_at_once(self, who, size, at, choices):
        self.move_a_slider(who, "min_area", at)
        self.type_a_pixel_size(who, size)
        for choice in choices:
            self.world.step(self.world.visitors[who], choice)

    @rule(
        who=who,
        diameter=st.sampled_from([None, 20, 72]),
        tta=st.booleans(),
        level=st.sampled_from([WHOLE, "L1"]),
    )
    def change_settings(self, who, diameter, tta, level):
        self.world.visitors[who].values |= {"diameter": diameter, "tta": tta, "level": level}

    @rule(who=who)
    def run(self, who):
        self.world.run(self.world.visitors[who])

    @rule(who=who)
    def run_again_after_a_while(self, who):
        """More often than the other rules would give it, a run that comes to its end."""
        self.world.settle()
        self.world.run(self.world.visitors[who])
        for choice in range(4):
            self.world.step(self.world.visitors[who], choice)

    @rule(who=who)
    def cancel(self, who):
        self.world.cancel(self.world.visitors[who])

    @rule(who=who)
    def download(self, who):
        self.world.download(self.world.visitors[who])

    @rule(
        who=who,
        what=st.sampled_from(["act", "act", "act", "undo", "redo"]),
        network=st.sampled_from(["unet", "unetpp"]),
        act=st.sampled_from(["delete", "delete", "draw", "split", "find", "take"]),
        number=st.integers(0, 20),
        at=st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.8]), st.sampled_from([0.2, 0.4, 0.7])),
    )
    def mend(self, who, what, network, act, number, at):
        self.world.mend(self.world.visitors[who], what, network, act, number, at)

    @rule(who=who, number=st.integers(0, 20), at=st.integers(0, 3), choices=st.lists(st.integers(0, 5)))
    def mend_and_move_a_slider(self, who, number, at, choices):
        self.move_a_slider(who, "threshold", at)
        self.mend(who, "act", "unet", "delete", number, (0, 0))
        for choice in choices:
            self.world.step(self.world.visitors[who], choice)

    @rule(who=who)
    def leave(self, who):
        self.world.leave(who)

    @rule(choices=st.lists(st.tuples(who, st.integers(0, 5)), min_size=2, max_size=16))
    def time_passes(self, choices):
        for who, choice in choices:
            self.world.step(self.world.visitors[who], choice)
            self.world.check(self.world.visitors[who])

    @rule()
    def all_comes_to_rest(self):
        self.world.settle()
        for visitor in self.world.visitors:
            self.world.check_quiet(visitor)

    @invariant()
    def nothing_is_mixed(self):
        for visitor in self.world.visitors:
            self.world.check(visitor)

    def teardown(self):
        try:
            self.all_comes_to_rest()
            for visitor in self.world.visitors:
                self.world.download(visitor)
        finally:
            self.world.close()
            self.tried.events += self.world.sent
            self.tried.mends += self.world.mended
            self.tried.results += self.world.compared
            self.tried.downloads += self.world.downloaded


@dataclass
class Tried:
    """What became of the sequences.

    Attributes:
        events, results, downloads: How many were sent, compared with the library, and downloaded and compared.
        mends: How many times a nucleus was mended.
        wrong: What was wrong, with the shortest sequence that ends in it, printed as it can be read.
    """

    sequences: int = 0
    events: int = 0
    mends: int = 0
    results: int = 0
    downloads: int = 0
    wrong: list[str] = field(default_factory=list)


def try_visits(networks: Networks, folder: Path, sequences: int, steps: int = 20, seed: int = 0) -> Tried:
    """Try so many sequences, always the same ones for a seed. It ends at the first that goes wrong, made short.

    Args:
        networks: Tiny ones.
        folder: Where `write_files` wrote the images.
        steps: Of a sequence, at most.
    """
    tried = Tried()
    machine = type("Visits", (Visits,), {"library": Library(networks, folder), "tried": tried})
    machine._hypothesis_internal_use_seed = seed
    how = settings(
        max_examples=sequences,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
        phases=PHASES,
    )
    try:
        run_state_machine_as_test(machine, settings=how)
    except Exception as error:
        tried.wrong.append("\n".join([repr(error), *getattr(error, "__notes__", [])]))
        print(tried.wrong[-1])
    return tried
