"""What a store goes through while its disk is recorded."""

import os

from crash_states.commands import HERE, patiently, run
from crash_states.recorded_disk import RecordedDisk

LAYERS, FILES = 3, 40


def make_images(scratch):
    """Two images that share their lowest layer; returns their layouts, and a table of digests of each as sha256sum has it."""
    tars = []
    for layer in range(LAYERS + 1):
        tree = os.path.join(scratch, f"layer-{layer}")
        os.mkdir(tree)
        for number in range(FILES):
            with open(os.path.join(tree, f"{layer}-{number}"), "w") as file:
                file.write(f"layer {layer}, file {number}\n" * (1 + number * 20))
        tars.append(tree + ".tar")
        run("tar", "-C", tree, "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "-cf", tars[-1], ".")
    images = []
    for name, layers in (("first", range(LAYERS)), ("second", (0, LAYERS))):
        layout = os.path.join(scratch, name)
        run(os.path.join(HERE, "../make-oci-layout"), layout, *(tars[layer] for layer in layers))
        sums = os.path.join(scratch, name + ".sums")
        with open(sums, "wb") as table:
            for layer in layers:
                files = sorted(os.listdir(os.path.join(scratch, f"layer-{layer}")))
                table.write(run("sha256sum", *files, cwd=os.path.join(scratch, f"layer-{layer}")))
        images.append((f"oci://{layout}:latest", sums))
    return images


# In this order: parts of story.sh.
STORY = ("init", "create", "write", "flush", "second", "own-goes", "delete", "clean", "again", "damage", "repair", "end")


def record(environment, scratch, driver):
    """Runs the story on a recorded disk; returns the disk before it and the log."""
    disk, before, store = (os.path.join(scratch, name) for name in ("disk", "before", "store"))
    with open(disk, "wb") as file:
        file.truncate(driver["bytes"])
    run(*driver["mkfs"], disk)
    run("cp", "--sparse=always", disk, before)
    recorded = RecordedDisk(disk, os.path.join(scratch, "served"))
    try:
        loop = run("losetup", "--find", "--show", recorded.point).decode().strip()
        try:
            run("mount", "-t", driver["type"], "-o", "noatime", loop, store)
            for part in STORY:
                run(os.path.join(HERE, "story.sh"), part, env=environment)
                recorded.mark(part)
        finally:
            # A create may have left a process that flushes.
            patiently("umount", "-R", store)
            run("losetup", "--detach", loop)
    finally:
        recorded.close()
    return before, recorded.log
