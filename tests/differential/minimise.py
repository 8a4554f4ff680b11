"""Makes a stream that shows a difference as short as it is worth."""
import copy
import time


def reduce_list(items, fails, deadline):
    """Removes parts of a list, halves first, as long as fails(list) stays true."""
    size = max(1, len(items) // 2)
    while items and time.monotonic() < deadline:
        at, removed = 0, False
        while at < len(items) and time.monotonic() < deadline:
            shorter = items[:at] + items[at + size:]
            if fails(shorter):
                items, removed = shorter, True
            else:
                at += size
        if size == 1 and not removed:
            break
        size = max(1, size // 2)
    return items


def minimise(units, fails, seconds=30):
    """The shortest list of units found for which fails(units) holds, or None when the stream alone does not show it again."""
    deadline = time.monotonic() + seconds
    if not fails(units):
        return None
    units = copy.deepcopy(reduce_list(units, fails, deadline))
    for unit in units:
        for step in unit:
            if hasattr(step, "commands") and len(step.commands) > 1:
                def with_commands(commands, step=step):
                    before, step.commands = step.commands, commands
                    try:
                        return fails(units)
                    finally:
                        step.commands = before
                step.commands = reduce_list(step.commands, with_commands, deadline)
    return units
