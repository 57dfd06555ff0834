//! What is left of a simulated disk after a crash.

use std::collections::BTreeMap;

use super::world::{Change, FileNode, FolderNode, NameChange, Node, World};

/// The unit that a disk writes whole.
const BLOCK_BYTES: usize = 512;

/// A small deterministic stream of random numbers (SplitMix64, Steele, Lea and Flood 2014).
#[derive(Clone, Debug)]
pub struct SimRandom(u64);

impl SimRandom {
    /// The stream of a seed.
    #[must_use]
    pub fn new(seed: u64) -> SimRandom {
        SimRandom(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 to below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        assert!(bound > 0, "there is no number below 0");
        usize::try_from(self.next_u64() % bound as u64).expect("below a usize")
    }

    /// True once in `count` times.
    pub fn chance(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }
}

pub(super) fn process_crash(world: &mut World) -> World {
    let mut random = fork(&mut world.random);
    world.stopped = true;
    let mut nodes = world.nodes.clone();
    for node in nodes.values_mut() {
        let Node::File(file) = node else { continue };
        let known = file.known_content();
        // Only what a failed sync left is not known. Memory may let go of it at any time, as it counts as clean.
        if known != file.view && random.chance(2) {
            file.view = known;
        }
    }
    let mut next = World::of(random, nodes, world.next_id(), std::mem::take(&mut world.names));
    next.shut_down = world.shut_down;
    next
}

pub(super) fn power_loss(world: &mut World) -> World {
    let mut random = fork(&mut world.random);
    world.stopped = true;
    let mut nodes = world.nodes.clone();
    for change in surviving_names(&mut random, &world.names) {
        change.apply_durable(&mut nodes);
    }
    let nodes =
        nodes.into_iter().map(|(id, node)| (id, settled(&mut random, node))).collect::<BTreeMap<_, _>>();
    World::of(random, reachable(&nodes), world.next_id(), Vec::new())
}

fn fork(random: &mut SimRandom) -> SimRandom {
    SimRandom::new(random.next_u64())
}

/// Which of the unsynced name changes made it: none, all, the first ones, or any.
fn surviving_names(random: &mut SimRandom, names: &[NameChange]) -> Vec<NameChange> {
    match random.below(4) {
        0 => Vec::new(),
        1 => names.to_vec(),
        2 => names[..random.below(names.len() + 1)].to_vec(),
        _ => names.iter().filter(|_| random.chance(2)).cloned().collect(),
    }
}

fn settled(random: &mut SimRandom, node: Node) -> Node {
    match node {
        Node::File(file) => {
            let content = surviving_content(random, file);
            Node::File(FileNode { view: content.clone(), durable: content, pending: Vec::new() })
        }
        Node::Folder(folder) => {
            Node::Folder(FolderNode { view: folder.durable.clone(), durable: folder.durable })
        }
    }
}

/// Which of the unsynced changes of a file made it: none, all, the first ones with the last one torn, or any.
fn surviving_content(random: &mut SimRandom, file: FileNode) -> Vec<u8> {
    let mut content = file.durable;
    match random.below(4) {
        0 => {}
        1 => file.pending.iter().for_each(|change| change.apply(&mut content)),
        2 => {
            let kept = random.below(file.pending.len() + 1);
            file.pending[..kept].iter().for_each(|change| change.apply(&mut content));
            if let Some(change) = file.pending.get(kept) {
                apply_torn(random, change, &mut content);
            }
        }
        _ => {
            for change in &file.pending {
                match random.below(3) {
                    0 => {}
                    1 => change.apply(&mut content),
                    _ => apply_torn(random, change, &mut content),
                }
            }
        }
    }
    content
}

/// A part of one change: some first bytes of a write, some blocks of it, or only the length that it gave the file.
fn apply_torn(random: &mut SimRandom, change: &Change, content: &mut Vec<u8>) {
    let Change::Write { position, bytes } = change else { return };
    match random.below(3) {
        0 => {
            let bytes = bytes[..random.below(bytes.len() + 1)].to_vec();
            Change::Write { position: *position, bytes }.apply(content);
        }
        1 => {
            let mut from = 0;
            while from < bytes.len() {
                let block_end = (position + from) / BLOCK_BYTES * BLOCK_BYTES + BLOCK_BYTES;
                let to = (block_end - position).min(bytes.len());
                if random.chance(2) {
                    Change::Write { position: position + from, bytes: bytes[from..to].to_vec() }
                        .apply(content);
                }
                from = to;
            }
        }
        _ => {
            if content.len() < position + bytes.len() {
                content.resize(position + bytes.len(), 0);
            }
        }
    }
}

/// What the root still leads to.
fn reachable(nodes: &BTreeMap<u64, Node>) -> BTreeMap<u64, Node> {
    let mut found = BTreeMap::new();
    let mut open = vec![0];
    while let Some(id) = open.pop() {
        let Some(node) = nodes.get(&id) else { continue };
        if found.insert(id, node.clone()).is_none()
            && let Node::Folder(folder) = node
        {
            open.extend(folder.view.values());
        }
    }
    found
}
