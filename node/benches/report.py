"""Figures beside their goals, and what else used the machine: what the programs beside this file share."""

import os
import statistics


def busy_seconds():
    """What all cores together did since the machine started."""
    with open("/proc/stat") as file:
        user, nice, system, _idle, _iowait, irq, softirq = [int(field) for field in file.readline().split()[1:8]]
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """What this program and the programs that it ran to their end used of that."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def process_seconds(pid):
    """What a process that runs used of that."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def row(name, values, others, goal):
    """One line. Others' cores are those of the runs that the figure is from, the worst round's."""
    middle = statistics.median(values)
    said, verdict = "", ""
    if goal:
        how, limit = goal
        met = middle >= limit if how == ">=" else middle <= limit
        said, verdict = f"{how} {limit:g}", "ok" if met else "MISSED"
    noise = f"others {max(others):.2f}" if others else ""
    found = f"{name:<50} {middle:>9.3g}  [{min(values):.3g}..{max(values):.3g}]"
    print(f"{found:<84}{said:>9}  {verdict:<7} {noise}".rstrip(), flush=True)
    figure = {"figure": name, "median": middle, "all": values, "goal": said or None, "met": verdict != "MISSED"}
    return figure | {"other_cores": others}
