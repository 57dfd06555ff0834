"""Three nodes for the programs beside this file, each a process, and a producer that watches for gaps."""

import json
import os
import subprocess
import sys
import threading
import time

from one_node import Node
from report import busy_seconds, own_seconds, process_seconds

# How long nodes may take to be whole again, and the pause before it is looked again whether they are.
PATIENCE, PAUSE = 180, 0.1


class Cluster:
    """Nodes 1 to 3, on folders of their own below one folder."""

    def __init__(self, weir, folder, nodes=3):
        self.weir, self.folder = weir, folder
        self.certs = os.path.join(folder, "certs")
        self.nodes, self.addresses = {}, {}
        for number in range(1, nodes + 1):
            self.start(number)
        self.wait_until_whole()

    def start(self, number):
        """Starts a node, again on the address that it had."""
        join = ["--join", self.addresses[1]] if number > 1 else []
        data = os.path.join(self.folder, f"node-{number}")
        with open(f"{data}.log", "ab") as log:
            listen = self.addresses.get(number, "127.0.0.1:0")
            flags = ["--node-id", str(number), *join]
            node = Node(self.weir, data, *flags, listen=listen, certs=self.certs, log=log)
        self.nodes[number], self.addresses[number] = node, node.address
        return node

    def kill(self, number):
        """As `kill -9` does. Returns when that was, in milliseconds since 1970."""
        process = self.nodes.pop(number).process
        at_ms = time.time() * 1000
        process.kill()
        process.wait()
        return at_ms

    def stop(self, number):
        """As `kill` does. Returns when that began and when it was over, in milliseconds since 1970."""
        node, at_ms = self.nodes.pop(number), time.time() * 1000
        node.stop()
        return at_ms, time.time() * 1000

    def signal(self, number, signal):
        self.nodes[number].process.send_signal(signal)
        return time.time() * 1000

    def close(self):
        for node in self.nodes.values():
            node.kill()

    def client(self):
        """A command that asks nodes which live."""
        live = ",".join(self.addresses[number] for number in self.nodes)
        return [self.weir, "--bootstrap", live, "--certs", self.certs]

    def place(self):
        """Where `weir bench` finds the nodes."""
        pids = ",".join(str(node.process.pid) for node in self.nodes.values())
        return ["--node", ",".join(self.addresses.values()), "--node-pid", pids, "--certs", self.certs]

    def call(self, *arguments, **how):
        subprocess.run([*self.client(), *arguments], check=True, stdout=subprocess.DEVNULL, **how)

    def ask(self, *arguments):
        """What a command says; `None` if nobody answers."""
        done = subprocess.run([*self.client(), *arguments, "--output", "json"], capture_output=True, text=True)
        said = done.stdout.strip().splitlines()
        return json.loads(said[-1]) if said else None

    def create_topic(self, name, partitions, *flags):
        self.call("topics", "create", name, "--partitions", str(partitions), "--replication-factor", "3", *flags)
        self.wait_until_whole()

    def status(self):
        return self.ask("cluster", "status")

    def controller(self):
        return self.wait_for("a controller", lambda: ((self.status() or {}).get("quorum") or {}).get("controller"))

    def partitions(self, topic=None):
        """All partitions of a topic, or of all topics, by name and number."""
        said = self.ask("topics", "describe", *([topic] if topic else []))
        topics = said["topics"] if "topics" in said else [said]
        return {(of["name"], partition["partition"]): partition for of in topics for partition in of["partitions"]}

    def led_by(self, topic, number):
        return [at for (_, at), partition in self.partitions(topic).items() if partition["leader"] == number]

    def is_whole(self):
        """Whether every node lives and is in every ISR that it belongs to."""
        status = self.status()
        if not status or not status["quorum"]["controller"]:
            return False
        live = [node for node in status["nodes"] if node["standing"] == "live"]
        figures = status["partitions"]
        return len(live) == len(self.addresses) and not figures["leaderless"] and not figures["under_replicated"]

    def wait_until_whole(self, pause=PAUSE):
        self.wait_for("all nodes in all ISRs", self.is_whole, pause)

    def balance(self):
        """Has every partition led by its preferred replica."""

        def is_balanced():
            said = self.ask("cluster", "elect-leaders")
            return said is not None and not said["elections"]

        self.wait_until_whole()
        self.wait_for("preferred leaders", is_balanced)

    def wait_for(self, what, found, pause=PAUSE):
        """Polls; returns what was found."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := found()):
            if time.monotonic() > deadline:
                sys.exit(f"cluster_figures: no {what} after {PATIENCE} s; look at {self.folder}/node-*.log (--keep)")
            time.sleep(pause)
        return answer

    def cpu_seconds(self):
        return {number: node.cpu_seconds() for number, node in self.nodes.items()}


class Gaps:
    """`weir bench gaps`, for as long as something is done to the nodes."""

    def __init__(self, bench, cluster, topic, *flags):
        command = [bench, "bench", "gaps", *cluster.place(), "--topic", topic, "--output", "json"]
        command += ["--stop-with-stdin", "--seconds", "86400", *flags]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
        said = []
        for line in self.process.stderr:
            said.append(line)
            if "records flow" in line:
                break
        else:
            sys.exit(f"cluster_figures: {' '.join(command)} ended early: {''.join(said)}")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def end(self):
        """Everything that it found."""
        out, _ = self.process.communicate("")
        if self.process.returncode != 0:
            sys.exit(f"cluster_figures: the producer ended with {self.process.returncode}")
        self.found = json.loads(out.strip().splitlines()[-1])
        return self.found

    def after(self, at_ms, until_ms, partitions=None):
        """How long after a moment the last of these partitions was acknowledged again, of the gaps that lie around that
        moment or begin before another one."""
        gaps = [gap for gap in self.found["gaps"] if partitions is None or gap["partition"] in partitions]
        ends = [(gap["from_unix_ms"], gap["from_unix_ms"] + gap["ms"]) for gap in gaps]
        return max((end - max(at_ms, begin) for begin, end in ends if end > at_ms and begin < until_ms), default=0)


class Meter:
    """How many cores others used, while nodes and programs of this one came and went."""

    def __init__(self, processes):
        self.processes = processes
        self.started, self.busy, self.own = time.monotonic(), busy_seconds(), self._own()

    def _own(self):
        live = [process for process in self.processes() if process.poll() is None]
        return own_seconds() + sum(process_seconds(process.pid) for process in live)

    def others(self):
        others = (busy_seconds() - self.busy) - (self._own() - self.own)
        return max(0.0, others / (time.monotonic() - self.started))
