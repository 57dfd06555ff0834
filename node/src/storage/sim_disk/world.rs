//! The state of a simulated disk: files, folders, and what of them is not durable yet.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};

use super::super::disk::{Entry, EntryKind, OpenMode};
use super::power::SimRandom;

/// Linux' number for an input/output error.
const EIO: i32 = 5;
/// Linux' number for too many open files.
const EMFILE: i32 = 24;

const ROOT: u64 = 0;

pub(super) struct World {
    pub(super) random: SimRandom,
    pub(super) nodes: BTreeMap<u64, Node>,
    next_id: u64,
    /// Changes of names that no folder sync has made durable, oldest first.
    pub(super) names: Vec<NameChange>,
    pub(super) locks: BTreeSet<u64>,
    /// How often each file is open.
    handles: BTreeMap<u64, usize>,
    pub(super) operations: u64,
    pub(super) syncs: u64,
    pub(super) stop_after: Option<u64>,
    /// Everything fails from here on.
    pub(super) stopped: bool,
    pub(super) fail_syncs: u32,
    /// How many syncs go well before those.
    pub(super) sound_syncs: u64,
    pub(super) fail_writes: u32,
    pub(super) space: Option<u64>,
    pub(super) open_files_max: Option<usize>,
    pub(super) ignore_folder_syncs: bool,
    pub(super) read_only: bool,
    /// How many syncs have failed.
    pub(super) failed_syncs: u64,
    /// The file system takes no changes until the next boot: it could not write its journal.
    pub(super) shut_down: bool,
}

#[derive(Clone)]
pub(super) enum Node {
    File(FileNode),
    Folder(FolderNode),
}

#[derive(Clone, Default)]
pub(super) struct FileNode {
    /// What a running process sees.
    pub(super) view: Vec<u8>,
    /// What is on the platter for sure.
    pub(super) durable: Vec<u8>,
    /// What turns `durable` into `view`, oldest first. A failed sync empties it without making anything durable.
    pub(super) pending: Vec<Change>,
}

#[derive(Clone, Default)]
pub(super) struct FolderNode {
    pub(super) view: BTreeMap<String, u64>,
    pub(super) durable: BTreeMap<String, u64>,
}

#[derive(Clone)]
pub(super) enum Change {
    Write { position: usize, bytes: Vec<u8> },
    SetLen { bytes: usize },
}

/// One change of names; a rename is one change with both sides.
#[derive(Clone)]
pub(super) struct NameChange {
    pub(super) removed: Option<Name>,
    pub(super) added: Option<Name>,
}

#[derive(Clone)]
pub(super) struct Name {
    pub(super) folder: u64,
    pub(super) name: String,
    pub(super) id: u64,
}

/// What a changing operation may do.
enum Turn {
    Whole,
    /// The disk stops in the middle of it.
    Half,
}

impl World {
    pub(super) fn new(random: SimRandom) -> World {
        let root = Node::Folder(FolderNode::default());
        World::of(random, BTreeMap::from([(ROOT, root)]), ROOT + 1, Vec::new())
    }

    /// A fresh boot over these files.
    pub(super) fn of(
        random: SimRandom,
        nodes: BTreeMap<u64, Node>,
        next_id: u64,
        names: Vec<NameChange>,
    ) -> World {
        World {
            random,
            nodes,
            next_id,
            names,
            locks: BTreeSet::new(),
            handles: BTreeMap::new(),
            operations: 0,
            syncs: 0,
            stop_after: None,
            stopped: false,
            fail_syncs: 0,
            sound_syncs: 0,
            fail_writes: 0,
            space: None,
            open_files_max: None,
            ignore_folder_syncs: false,
            read_only: false,
            failed_syncs: 0,
            shut_down: false,
        }
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    pub(super) fn check_alive(&self) -> io::Result<()> {
        if self.stopped { Err(io::Error::other("the simulated disk has stopped")) } else { Ok(()) }
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.shut_down {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        if self.read_only { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
    }

    pub(super) fn open_files(&self) -> usize {
        self.handles.values().sum()
    }

    /// The bytes of the files that have a name or are open.
    pub(super) fn used_bytes(&self) -> u64 {
        let mut used: BTreeSet<u64> = self.handles.keys().copied().collect();
        for node in self.nodes.values() {
            if let Node::Folder(folder) = node {
                used.extend(folder.view.values());
            }
        }
        let bytes = |id: &u64| match self.nodes.get(id) {
            Some(Node::File(file)) => file.view.len() as u64,
            _ => 0,
        };
        used.iter().map(bytes).sum()
    }

    pub(super) fn file(&self, id: u64) -> &FileNode {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => file,
            _ => panic!("an open file has a node"),
        }
    }

    fn file_mut(&mut self, id: u64) -> &mut FileNode {
        match self.nodes.get_mut(&id) {
            Some(Node::File(file)) => file,
            _ => panic!("an open file has a node"),
        }
    }

    pub(super) fn open(&mut self, path: &Path, mode: OpenMode) -> io::Result<u64> {
        self.check_alive()?;
        if self.open_files_max.is_some_and(|max| self.open_files() >= max) {
            return Err(io::Error::from_raw_os_error(EMFILE));
        }
        if mode != OpenMode::Read {
            self.check_writable()?;
        }
        let (folder, name) = self.split(path)?;
        let id = match self.folder(folder).view.get(&name).copied() {
            Some(_) if mode == OpenMode::CreateNew => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(id) if matches!(self.nodes.get(&id), Some(Node::Folder(_))) => {
                return Err(io::ErrorKind::IsADirectory.into());
            }
            Some(id) => id,
            None if matches!(mode, OpenMode::Read | OpenMode::ReadWrite) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            None => {
                let id = self.add_node(Node::File(FileNode::default()));
                self.change_name(NameChange { removed: None, added: Some(Name { folder, name, id }) })?;
                id
            }
        };
        *self.handles.entry(id).or_default() += 1;
        Ok(id)
    }

    pub(super) fn close(&mut self, id: u64) {
        if let Some(count) = self.handles.get_mut(&id) {
            *count -= 1;
            if *count == 0 {
                self.handles.remove(&id);
            }
        }
    }

    pub(super) fn read_at(&mut self, id: u64, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.check_alive()?;
        let view = &self.file(id).view;
        let from = usize::try_from(position).unwrap_or(usize::MAX).min(view.len());
        let length = buffer.len().min(view.len() - from);
        buffer[..length].copy_from_slice(&view[from..from + length]);
        Ok(length)
    }

    pub(super) fn write_at(&mut self, id: u64, bytes: &[u8], position: u64) -> io::Result<()> {
        let turn = self.turn()?;
        let position = usize::try_from(position).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let mut allowed = bytes.len();
        let mut result = Ok(());
        let grows_to = position + bytes.len();
        let length = self.file(id).view.len();
        if let Some(space) = self.space
            && grows_to > length
        {
            let free = usize::try_from(space.saturating_sub(self.used_bytes())).unwrap_or(usize::MAX);
            let limit = length.saturating_add(free).saturating_sub(position);
            if limit < allowed {
                allowed = limit;
                result = Err(io::ErrorKind::StorageFull.into());
            }
        }
        if self.fail_writes > 0 {
            self.fail_writes -= 1;
            allowed = self.random.below(allowed + 1);
            result = Err(io::Error::from_raw_os_error(EIO));
        }
        if matches!(turn, Turn::Half) {
            allowed = self.random.below(allowed + 1);
            result = Err(io::Error::other("the simulated disk stopped in this write"));
        }
        if allowed > 0 {
            let change = Change::Write { position, bytes: bytes[..allowed].to_vec() };
            let file = self.file_mut(id);
            change.apply(&mut file.view);
            file.pending.push(change);
        }
        result
    }

    pub(super) fn set_len(&mut self, id: u64, bytes: u64) -> io::Result<()> {
        let turn = self.turn()?;
        let bytes = usize::try_from(bytes).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        if self.half_happens(&turn) {
            let change = Change::SetLen { bytes };
            let file = self.file_mut(id);
            change.apply(&mut file.view);
            file.pending.push(change);
        }
        turn.end()
    }

    pub(super) fn sync_data(&mut self, id: u64) -> io::Result<()> {
        let turn = self.turn()?;
        self.syncs += 1;
        let failed = self.fails_sync();
        let happens = self.half_happens(&turn);
        let file = self.file_mut(id);
        if failed {
            // The pages are marked clean although they never reached the disk.
            file.pending.clear();
            return Err(io::Error::from_raw_os_error(EIO));
        }
        if happens {
            for change in std::mem::take(&mut file.pending) {
                change.apply(&mut file.durable);
            }
        }
        turn.end()
    }

    pub(super) fn sync_dir(&mut self, path: &Path) -> io::Result<()> {
        let turn = self.turn()?;
        let folder = self.find(path)?;
        if !matches!(self.nodes.get(&folder), Some(Node::Folder(_))) {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        self.syncs += 1;
        let failed = self.fails_sync();
        if !failed && (self.ignore_folder_syncs || !self.half_happens(&turn)) {
            return turn.end();
        }
        if failed {
            self.shut_down = true;
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let changes = self.take_changes_of(folder);
        for change in &changes {
            change.apply_durable(&mut self.nodes);
        }
        self.forget_unnamed(&changes);
        turn.end()
    }

    pub(super) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.check_alive()?;
        let mut folder = ROOT;
        for name in names(path)? {
            folder = match self.folder_of(folder)?.view.get(&name) {
                Some(&id) => id,
                None => {
                    let id = self.add_node(Node::Folder(FolderNode::default()));
                    self.change_name(NameChange { removed: None, added: Some(Name { folder, name, id }) })?;
                    id
                }
            };
        }
        self.folder_of(folder).map(|_| ())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.check_alive()?;
        let (from_folder, from_name) = self.split(from)?;
        let (to_folder, to_name) = self.split(to)?;
        let id = self.child(from_folder, &from_name)?;
        if let Some(replaced) = self.folder(to_folder).view.get(&to_name)
            && let Some(Node::Folder(folder)) = self.nodes.get(replaced)
            && !folder.view.is_empty()
        {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        self.change_name(NameChange {
            removed: Some(Name { folder: from_folder, name: from_name, id }),
            added: Some(Name { folder: to_folder, name: to_name, id }),
        })
    }

    pub(super) fn hard_link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        self.check_alive()?;
        let id = self.find(from)?;
        let (folder, name) = self.split(to)?;
        if self.folder(folder).view.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.change_name(NameChange { removed: None, added: Some(Name { folder, name, id }) })
    }

    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        self.check_alive()?;
        let (folder, name) = self.split(path)?;
        let id = self.child(folder, &name)?;
        if matches!(self.nodes.get(&id), Some(Node::Folder(_))) {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        self.change_name(NameChange { removed: Some(Name { folder, name, id }), added: None })
    }

    pub(super) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        self.check_alive()?;
        let (folder, name) = self.split(path)?;
        let id = self.child(folder, &name)?;
        let children: Vec<(String, u64)> =
            self.folder_of(id)?.view.iter().map(|(name, child)| (name.clone(), *child)).collect();
        for (child_name, child) in children {
            if matches!(self.nodes.get(&child), Some(Node::Folder(_))) {
                self.remove_dir_all(&path.join(&child_name))?;
            } else {
                let removed = Some(Name { folder: id, name: child_name, id: child });
                self.change_name(NameChange { removed, added: None })?;
            }
        }
        self.change_name(NameChange { removed: Some(Name { folder, name, id }), added: None })
    }

    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.check_alive()?;
        let folder = self.folder_of(self.find(path)?)?;
        Ok(folder.view.iter().map(|(name, id)| Entry { name: name.clone(), kind: self.kind(*id) }).collect())
    }

    pub(super) fn stat(&self, path: &Path) -> io::Result<Option<EntryKind>> {
        self.check_alive()?;
        match self.find(path) {
            Ok(id) => Ok(Some(self.kind(id))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn find(&self, path: &Path) -> io::Result<u64> {
        names(path)?.into_iter().try_fold(ROOT, |folder, name| self.child(folder, &name))
    }

    fn kind(&self, id: u64) -> EntryKind {
        match self.nodes.get(&id) {
            Some(Node::File(file)) => EntryKind::File { bytes: file.view.len() as u64 },
            _ => EntryKind::Folder,
        }
    }

    fn child(&self, folder: u64, name: &str) -> io::Result<u64> {
        self.folder_of(folder)?.view.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn folder_of(&self, id: u64) -> io::Result<&FolderNode> {
        match self.nodes.get(&id) {
            Some(Node::Folder(folder)) => Ok(folder),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn folder(&self, id: u64) -> &FolderNode {
        self.folder_of(id).expect("checked by the caller")
    }

    /// The folder that a path lies in, and its last name.
    fn split(&self, path: &Path) -> io::Result<(u64, String)> {
        let mut names = names(path)?;
        let last = names.pop().ok_or(io::ErrorKind::InvalidInput)?;
        let folder = names.into_iter().try_fold(ROOT, |folder, name| self.child(folder, &name))?;
        self.folder_of(folder)?;
        Ok((folder, last))
    }

    fn add_node(&mut self, node: Node) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.nodes.insert(id, node);
        id
    }

    fn change_name(&mut self, change: NameChange) -> io::Result<()> {
        let turn = self.turn()?;
        if self.half_happens(&turn) {
            change.apply_view(&mut self.nodes);
            self.names.push(change);
        }
        turn.end()
    }

    /// Takes out the pending changes of one folder, and the earlier ones that they build on, oldest first.
    fn take_changes_of(&mut self, folder: u64) -> Vec<NameChange> {
        let mut folders = BTreeSet::from([folder]);
        let mut taken = Vec::new();
        let mut left = Vec::new();
        for change in std::mem::take(&mut self.names).into_iter().rev() {
            if change.folders().any(|touched| folders.contains(&touched)) {
                folders.extend(change.folders());
                taken.push(change);
            } else {
                left.push(change);
            }
        }
        left.reverse();
        self.names = left;
        taken.reverse();
        taken
    }

    /// Frees the files whose last name is gone for good and which nobody has open.
    fn forget_unnamed(&mut self, changes: &[NameChange]) {
        for id in changes.iter().filter_map(|change| change.removed.as_ref()).map(|name| name.id) {
            let named = self.nodes.values().any(|node| match node {
                Node::Folder(folder) => {
                    folder.view.values().chain(folder.durable.values()).any(|child| *child == id)
                }
                Node::File(_) => false,
            });
            let pending =
                self.names.iter().any(|change| change.added.as_ref().is_some_and(|name| name.id == id));
            if !named && !pending && !self.handles.contains_key(&id) {
                self.nodes.remove(&id);
            }
        }
    }

    /// Counts a changing operation, and says whether the disk stops in it.
    fn turn(&mut self) -> io::Result<Turn> {
        self.check_alive()?;
        self.check_writable()?;
        self.operations += 1;
        match &mut self.stop_after {
            Some(0) => {
                self.stopped = true;
                Ok(Turn::Half)
            }
            Some(left) => {
                *left -= 1;
                Ok(Turn::Whole)
            }
            None => Ok(Turn::Whole),
        }
    }

    /// Whether the effect of an operation takes place; of the one in which the disk stops that is open.
    fn half_happens(&mut self, turn: &Turn) -> bool {
        match turn {
            Turn::Whole => true,
            Turn::Half => self.random.chance(2),
        }
    }

    fn fails_sync(&mut self) -> bool {
        if self.sound_syncs > 0 {
            self.sound_syncs -= 1;
            return false;
        }
        let fails = self.fail_syncs > 0;
        self.fail_syncs = self.fail_syncs.saturating_sub(1);
        self.failed_syncs += u64::from(fails);
        fails
    }
}

impl Turn {
    fn end(self) -> io::Result<()> {
        match self {
            Turn::Whole => Ok(()),
            Turn::Half => Err(io::Error::other("the simulated disk stopped in this operation")),
        }
    }
}

impl FileNode {
    /// What the file would hold if everything unsynced were made durable.
    pub(super) fn known_content(&self) -> Vec<u8> {
        let mut content = self.durable.clone();
        self.pending.iter().for_each(|change| change.apply(&mut content));
        content
    }
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Change::Write { position, bytes } => {
                let end = position + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*position..end].copy_from_slice(bytes);
            }
            Change::SetLen { bytes } => content.resize(*bytes, 0),
        }
    }
}

impl NameChange {
    fn folders(&self) -> impl Iterator<Item = u64> + '_ {
        self.removed.iter().chain(&self.added).map(|name| name.folder)
    }

    fn apply_view(&self, nodes: &mut BTreeMap<u64, Node>) {
        self.apply(nodes, |folder| &mut folder.view);
    }

    pub(super) fn apply_durable(&self, nodes: &mut BTreeMap<u64, Node>) {
        self.apply(nodes, |folder| &mut folder.durable);
    }

    fn apply(
        &self,
        nodes: &mut BTreeMap<u64, Node>,
        picture: impl Fn(&mut FolderNode) -> &mut BTreeMap<String, u64>,
    ) {
        if let Some(removed) = &self.removed
            && let Some(Node::Folder(folder)) = nodes.get_mut(&removed.folder)
            && picture(folder).get(&removed.name) == Some(&removed.id)
        {
            picture(folder).remove(&removed.name);
        }
        if let Some(added) = &self.added
            && let Some(Node::Folder(folder)) = nodes.get_mut(&added.folder)
        {
            picture(folder).insert(added.name.clone(), added.id);
        }
    }
}

/// The names along a path, from the root. The working folder of the simulation is its root.
fn names(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                names.push(name.to_str().ok_or(io::ErrorKind::InvalidInput)?.to_owned());
            }
            Component::ParentDir | Component::Prefix(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
    }
    Ok(names)
}
