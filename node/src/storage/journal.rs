//! One file of frames that grows by synced appends, and is now and then replaced as a whole.
//!
//! ```text
//! file  = magic (8) frame*
//! frame = mark (4) | length: u32 | xxh3-64 of the payload | payload            little endian
//! ```
//!
//! An append is one frame, and it is synced before the next one is written. So after a loss of power at most the last
//! frame is torn, and it was never reported as durable: opening cuts it. A bad frame with a good one behind it is
//! damage, which is reported: nobody must act on a journal that lost its middle.
//!
//! What the frames say is the owner's business, who also keeps all of it in memory: when an append failed, nobody
//! knows what the file holds, and the owner has it replaced ([`Journal::replace`]), which relies on nothing that the
//! failed one left.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use super::disk::{self, Disk, DiskFile, OpenMode};
use super::error::{Doing, StorageError};

const MAGIC: &[u8; 8] = b"weirjnl\x01";
const MARK: &[u8; 4] = b"\xf1WJ\xf1";
const FRAME_HEADER_BYTES: usize = MARK.len() + 4 + 8;
/// The largest journal that is read back, in bytes.
const JOURNAL_BYTES_MAX: usize = 1 << 30;

/// Why a journal could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Final until an operator acts.
    #[error("{} is damaged at byte {position}: restore it from a copy, or, if the cluster has other nodes, remove this node's data folder and join again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the first bad frame begins.
        position: usize,
    },
    /// Not a journal, or a newer one.
    #[error("{} is not a journal that this program reads: use a newer one, or restore the file from a copy", .path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The disk failed.
    #[error(transparent)]
    Io(#[from] StorageError),
}

/// The one writer of a journal.
pub struct Journal {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// `None` after a failed append, until the file is replaced.
    file: Option<Arc<dyn DiskFile>>,
    bytes: u64,
}

impl Journal {
    /// Opens a journal, makes what it holds durable, and returns its frames; a new one has none. Says how many bytes
    /// of a torn frame it cut.
    ///
    /// # Errors
    /// See [`JournalError`].
    pub fn open(disk: Arc<dyn Disk>, path: &Path) -> Result<(Journal, Vec<Vec<u8>>, usize), JournalError> {
        let folder = disk::parent(path);
        if disk.stat(path).doing("looking at", path)?.is_none() {
            disk::replace_file(&*disk, path, MAGIC).doing("writing", path)?;
        }
        // A process that died may have replaced the file without syncing its name, or written without syncing.
        disk.sync_dir(folder).doing("syncing", folder)?;
        let content = disk.read_file(path, JOURNAL_BYTES_MAX).doing("reading", path)?;
        if !content.starts_with(MAGIC) {
            return Err(JournalError::Unknown { path: path.to_owned() });
        }
        let (frames, end) = read_frames(&content);
        if has_frame(&content[end..]) {
            return Err(JournalError::Damaged { path: path.to_owned(), position: end });
        }
        // Not synced but written anew: after a failed sync the page cache calls bytes clean that the disk does not have,
        // and another sync of the same file would do nothing about them.
        disk::replace_file(&*disk, path, &content[..end]).doing("writing", path)?;
        let file = disk.open(path, OpenMode::ReadWrite).doing("opening", path)?;
        let torn = content.len() - end;
        let journal = Journal { disk, path: path.to_owned(), file: Some(file), bytes: end as u64 };
        Ok((journal, frames, torn))
    }

    /// Adds a frame; durable when it returns.
    ///
    /// # Errors
    /// What the disk says. Nothing more can be added then until the journal is replaced.
    pub fn append(&mut self, payload: &[u8]) -> Result<(), StorageError> {
        let Some(file) = self.file.take() else {
            return Err(StorageError::Retired {
                path: self.path.clone(),
                reason: "an earlier write failed".to_owned(),
            });
        };
        let header = frame_header(payload);
        file.write_at(&[&header, payload], self.bytes).doing("writing", &self.path)?;
        file.sync_data().doing("syncing", &self.path)?;
        self.bytes += (header.len() + payload.len()) as u64;
        self.file = Some(file);
        Ok(())
    }

    /// Replaces all frames by one; durable when it returns.
    ///
    /// # Errors
    /// What the disk says. Whether the old or the new content is there is not known then: replace it again.
    pub fn replace(&mut self, payload: &[u8]) -> Result<(), StorageError> {
        self.file = None;
        let content = [MAGIC, &frame_header(payload)[..], payload].concat();
        disk::replace_file(&*self.disk, &self.path, &content).doing("writing", &self.path)?;
        self.file = Some(self.disk.open(&self.path, OpenMode::ReadWrite).doing("opening", &self.path)?);
        self.bytes = content.len() as u64;
        Ok(())
    }

    /// Whether frames can be added.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.file.is_some()
    }

    /// The length of the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn frame_header(payload: &[u8]) -> [u8; FRAME_HEADER_BYTES] {
    let length = u32::try_from(payload.len()).expect("a frame is far below 4 GiB");
    let mut header = [0; FRAME_HEADER_BYTES];
    header[..4].copy_from_slice(MARK);
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..].copy_from_slice(&xxh3_64(payload).to_le_bytes());
    header
}

/// The frames of a journal's content up to the first bad one, and where that begins.
fn read_frames(content: &[u8]) -> (Vec<Vec<u8>>, usize) {
    let mut frames = Vec::new();
    let mut at = MAGIC.len();
    while let Some(payload) = frame_at(&content[at..]) {
        at += FRAME_HEADER_BYTES + payload.len();
        frames.push(payload.to_vec());
    }
    (frames, at)
}

/// The payload of the good frame that begins here.
fn frame_at(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = bytes.split_at_checked(FRAME_HEADER_BYTES)?;
    let (mark, lengths) = header.split_at(4);
    let (length, sum) = lengths.split_at(4);
    let length = usize::try_from(u32::from_le_bytes(length.try_into().ok()?)).ok()?;
    let payload = rest.get(..length)?;
    let is_good = mark == MARK && xxh3_64(payload) == u64::from_le_bytes(sum.try_into().ok()?);
    is_good.then_some(payload)
}

/// Whether a good frame begins anywhere in here.
fn has_frame(bytes: &[u8]) -> bool {
    bytes
        .windows(MARK.len())
        .enumerate()
        .any(|(at, window)| window == MARK && frame_at(&bytes[at..]).is_some())
}

#[cfg(test)]
mod tests {
    use super::super::SimDisk;
    use super::*;

    const PATH: &str = "/data/metadata/log";

    fn disk() -> SimDisk {
        let disk = SimDisk::new(7);
        disk.create_dir_all(Path::new("/data/metadata")).unwrap();
        for folder in ["/", "/data"] {
            disk.sync_dir(Path::new(folder)).unwrap();
        }
        disk
    }

    fn open(disk: &SimDisk) -> Result<(Journal, Vec<Vec<u8>>, usize), JournalError> {
        Journal::open(Arc::new(disk.clone()), Path::new(PATH))
    }

    fn frames(disk: &SimDisk) -> Vec<Vec<u8>> {
        open(disk).unwrap().1
    }

    #[test]
    fn frames_come_back_in_order_also_after_a_replacement() {
        let disk = disk();
        let (mut journal, found, torn) = open(&disk).unwrap();
        assert_eq!((found.len(), torn), (0, 0));
        journal.append(b"one").unwrap();
        journal.append(b"").unwrap();
        assert_eq!(frames(&disk), [b"one".to_vec(), b"".to_vec()]);
        journal.replace(b"all").unwrap();
        journal.append(b"two").unwrap();
        assert_eq!(frames(&disk), [b"all".to_vec(), b"two".to_vec()]);
        assert_eq!(journal.bytes(), disk.content(PATH).len() as u64);
    }

    #[test]
    fn what_was_reported_survives_a_loss_of_power_in_every_operation() {
        for stop_after in 0..40 {
            let disk = disk();
            disk.stop_after(stop_after);
            let mut reported: Vec<Vec<u8>> = Vec::new();
            let mut tried = Vec::new();
            if let Ok((mut journal, ..)) = open(&disk) {
                for number in 0..6_u8 {
                    let payload = vec![number; 100 * usize::from(number) + 1];
                    tried.push(payload.clone());
                    let outcome =
                        if number == 3 { journal.replace(&tried.concat()) } else { journal.append(&payload) };
                    if outcome.is_err() {
                        break;
                    }
                    if number == 3 {
                        reported.clear();
                        reported.push(tried.concat());
                    } else {
                        reported.push(payload);
                    }
                }
            }
            let after = disk.power_loss();
            let found = frames(&after);
            let replaced = found.first().is_some_and(|first| first.len() > 400);
            let holds = found.starts_with(&reported) || (replaced && reported.len() == 3);
            assert!(holds, "stopped after {stop_after}: {} frames of {}", found.len(), reported.len());
        }
    }

    #[test]
    fn a_failed_append_is_never_taken_for_done_and_a_replacement_mends_it() {
        let disk = disk();
        let (mut journal, ..) = open(&disk).unwrap();
        journal.append(b"one").unwrap();
        disk.fail_syncs(1);
        journal.append(b"two").unwrap_err();
        assert!(!journal.is_sound());
        assert!(matches!(journal.append(b"three"), Err(StorageError::Retired { .. })));
        journal.replace(b"one two").unwrap();
        assert_eq!(frames(&disk.power_loss()), [b"one two".to_vec()]);
    }

    #[test]
    fn what_a_failed_sync_left_is_written_again_before_it_is_trusted() {
        let disk = disk();
        let (mut journal, ..) = open(&disk).unwrap();
        journal.append(b"one").unwrap();
        disk.fail_syncs(1);
        journal.append(b"two").unwrap_err();
        drop(journal);
        // Only the process starts again: what it reads may be in memory alone.
        let (mut journal, mut found, _) = open(&disk).unwrap();
        journal.append(b"three").unwrap();
        found.push(b"three".to_vec());
        assert_eq!(frames(&disk.power_loss()), found);
    }

    #[test]
    fn damage_before_a_good_frame_is_reported_and_a_torn_tail_is_cut() {
        let disk = disk();
        let (mut journal, ..) = open(&disk).unwrap();
        journal.append(b"first").unwrap();
        journal.append(b"second").unwrap();
        let second = MAGIC.len() + FRAME_HEADER_BYTES + b"first".len();
        disk.flip_bit(PATH, second + FRAME_HEADER_BYTES, 0);
        let (_, found, torn) = open(&disk).unwrap();
        assert_eq!((found, torn), (vec![b"first".to_vec()], FRAME_HEADER_BYTES + b"second".len()));

        let (mut journal, ..) = open(&disk).unwrap();
        journal.append(b"second").unwrap();
        disk.flip_bit(PATH, MAGIC.len() + FRAME_HEADER_BYTES, 0);
        let error = open(&disk).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("is damaged at byte 8"), "{error}");
        disk.flip_bit(PATH, 0, 0);
        assert!(matches!(open(&disk), Err(JournalError::Unknown { .. })));
    }
}
