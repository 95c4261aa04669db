"""Programs that are run, and a second attempt for those that find something busy."""

import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def run(*command, **options):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **options).stdout


def patiently(*command):
    """Runs a command that fails as long as something is busy."""
    for _ in range(300):
        if subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0:
            return
        time.sleep(0.1)
    sys.exit(f"failed: {' '.join(command)}")
