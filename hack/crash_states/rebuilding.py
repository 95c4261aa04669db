"""States that the recorded disk may have been left in, and their disks."""

import collections
import os

from crash_states.commands import run
from crash_states.recorded_disk import BLOCK

State = collections.namedtuple("State", "at kept what has_own")


def states_of(log, count, dice):
    """States that a disk may be in, in the order of the log: how much of it had happened, and which of the blocks that
    were not flushed are there (None: all)."""
    flushes = [at for at, entry in enumerate(log) if entry[0] == "flush"]
    marks = {entry[1]: at for at, entry in enumerate(log) if entry[0] == "mark"}
    states, epochs, begin = [], [], 0
    for flush in flushes:
        writes = [at for at in range(begin, flush) if log[at][0] == "write"]
        if writes:
            epochs.append((begin, flush, writes))
        begin = flush + 1
    # A container's file is safe once its fsync has returned, until its image is deleted.
    has_own = lambda at: marks["write"] <= at <= marks["own-goes"]
    whole = [(flush, "all", None) for _, flush, _ in epochs] + [(flush, "none", set()) for _, flush, _ in epochs]
    for flush, what, kept in dice.sample(whole, min(len(whole), count // 2)):
        states.append(State(flush, kept, what, has_own(flush)))
    while len(states) < count:
        begin, flush, writes = dice.choice(epochs)
        cut = dice.choice(writes) + 1
        chance = dice.choice((0.05, 0.5, 0.9, 0.99))
        blocks = dice.random() < 0.5
        kept = set()
        for at in (at for at in writes if at < cut):
            pieces = -(-len(log[at][2]) // BLOCK) if blocks else 1
            kept |= {(at, piece if blocks else None) for piece in range(pieces) if dice.random() < chance}
        states.append(State(cut, kept, f"{chance:.0%} of {'blocks' if blocks else 'writes'}", has_own(begin)))
    return sorted(states, key=lambda state: state.at)


def rebuild(log, before, states, scratch):
    """Yields each state with the path of its disk."""
    durable, path = os.path.join(scratch, "durable"), os.path.join(scratch, "state")
    run("cp", "--sparse=always", before, durable)
    file, flushed = os.open(durable, os.O_RDWR), 0
    for state in states:
        last_flush = max((at for at in range(flushed, state.at) if log[at][0] == "flush"), default=flushed)
        for entry in log[flushed:last_flush]:
            if entry[0] == "write":
                os.pwrite(file, entry[2], entry[1])
        flushed = last_flush
        run("cp", "--sparse=always", durable, path)
        disk = os.open(path, os.O_RDWR)
        for at in range(flushed, state.at):
            if log[at][0] != "write":
                continue
            _, offset, data = log[at]
            if state.kept is None or (at, None) in state.kept:
                os.pwrite(disk, data, offset)
                continue
            for piece in range(-(-len(data) // BLOCK)):
                if (at, piece) in state.kept:
                    os.pwrite(disk, data[piece * BLOCK:(piece + 1) * BLOCK], offset + piece * BLOCK)
        os.close(disk)
        yield state, path
    os.close(file)
