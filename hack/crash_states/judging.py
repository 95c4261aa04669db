"""Whether each state is one that a store may be in."""

import collections
import os
import shutil
import subprocess
import tempfile

from crash_states.commands import HERE
from crash_states.rebuilding import rebuild


class Verdicts:
    """What has come of the states of one disk."""

    def __init__(self):
        self.sound = 0
        self.unsound = []
        self.found = collections.Counter()

    def findings(self):
        """The kinds of findings that check had, and in how many states."""
        return ", ".join(f"{kind} in {count}" for kind, count in sorted(self.found.items())) or "nothing"


def judge(log, before, states, environment, scratch):
    """Mounts each of the states, up to the first that is not sound."""
    verdicts = Verdicts()
    for number, (state, path) in enumerate(rebuild(log, before, states, scratch)):
        settings = dict(environment, STATE=path, OWN="1" if state.has_own else "")
        outcome = subprocess.run(["unshare", "--mount", os.path.join(HERE, "judge.sh")], env=settings,
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if outcome.returncode != 0:
            part = next((entry[1] for entry in log[state.at:] if entry[0] == "mark"), "the end")
            verdicts.unsound.append(f"state {number} ({state.what}, during {part}): {outcome.stderr.strip()}; "
                                    f"its disk is {keep(log, before, state, scratch)}")
            break
        verdicts.sound += 1
        verdicts.found.update(outcome.stdout.split())
    return verdicts


def keep(log, before, state, scratch):
    """Rebuilds a state where it outlives the run: judging has changed it."""
    kept = tempfile.mkdtemp(prefix="grootfs-crash-state.", dir="/var/tmp") + "/disk"
    for _, path in rebuild(log, before, [state], scratch):
        shutil.copy(path, kept)
    return kept
