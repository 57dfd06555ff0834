//! Components on their way to being pushed: kept in memory, part by part.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use weir_wire::error::{ErrorCode, WireError};
use weir_wire::request::{ChunkTaken, UploadComponent};

use super::invalid;
use crate::handlers::authorize::{Operation, Resource, authorize};
use crate::handlers::control::{Answer, Context};
use crate::plugins::COMPONENT_BYTES_MAX;

/// The most uploads that are under way at a time; the one that began first makes room for the next.
const UPLOADS_MAX: usize = 4;

/// What clients upload.
#[derive(Default)]
pub struct Uploads(Mutex<Table>);

#[derive(Default)]
struct Table {
    /// Counts the uploads that began.
    begun: u64,
    by_id: BTreeMap<[u8; 16], Upload>,
}

struct Upload {
    /// The how-manieth it is.
    number: u64,
    total: usize,
    bytes: BytesMut,
}

pub(in crate::handlers) async fn handle(context: Context, request: UploadComponent) -> Answer<ChunkTaken> {
    authorize(&context.principal, Operation::Create, Resource::Cluster)?;
    let received = context.services.uploads.take(&request)?;
    Ok((context.image.index, ChunkTaken { received }))
}

impl Uploads {
    fn take(&self, part: &UploadComponent) -> Result<u64, WireError> {
        let total = usize::try_from(part.total).unwrap_or(usize::MAX);
        if total > COMPONENT_BYTES_MAX {
            let sentence = format!(
                "the component has {total} bytes, at most {COMPONENT_BYTES_MAX} are allowed; strip it and build it \
                 for size"
            );
            return Err(invalid(sentence));
        }
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if part.at == 0 {
            table.begin(part.upload, total);
        }
        let Some(upload) = table.by_id.get_mut(&part.upload) else { return Err(lost()) };
        let received = upload.bytes.len() as u64;
        let fits = upload.total == total && part.bytes.len() <= total - upload.bytes.len();
        if part.at != received || !fits || part.bytes.len() > UploadComponent::BYTES_MAX {
            let sentence = format!("a part at {} does not follow {received} bytes of {total}", part.at);
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        }
        upload.bytes.extend_from_slice(&part.bytes);
        Ok(upload.bytes.len() as u64)
    }

    /// The bytes of an upload that is complete, which is then over.
    pub(super) fn finish(&self, upload: [u8; 16]) -> Result<Bytes, WireError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let upload = table.by_id.remove(&upload).ok_or_else(lost)?;
        if upload.bytes.len() < upload.total {
            let sentence =
                format!("{} of {} bytes are there; upload the rest", upload.bytes.len(), upload.total);
            return Err(WireError::new(ErrorCode::InvalidRequest, sentence));
        }
        Ok(upload.bytes.freeze())
    }
}

impl Table {
    fn begin(&mut self, id: [u8; 16], total: usize) {
        self.by_id.remove(&id);
        if self.by_id.len() >= UPLOADS_MAX
            && let Some(oldest) = self.by_id.iter().min_by_key(|(_, upload)| upload.number).map(|(id, _)| *id)
        {
            self.by_id.remove(&oldest);
        }
        self.begun += 1;
        self.by_id.insert(id, Upload { number: self.begun, total, bytes: BytesMut::new() });
    }
}

fn lost() -> WireError {
    WireError::new(ErrorCode::InvalidRequest, "this node does not know the upload, or gave it up; push again")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(upload: u8, at: u64, total: u64, bytes: &[u8]) -> UploadComponent {
        UploadComponent { upload: [upload; 16], at, total, bytes: bytes.to_vec() }
    }

    #[test]
    fn parts_follow_each_other_and_the_whole_is_taken_once() {
        let uploads = Uploads::default();
        assert_eq!(uploads.take(&part(1, 0, 5, b"abc")), Ok(3));
        assert!(uploads.finish([1; 16]).unwrap_err().message.contains("3 of 5 bytes"));
        assert_eq!(uploads.take(&part(1, 0, 5, b"abc")), Ok(3));
        assert!(uploads.take(&part(1, 2, 5, b"cd")).is_err());
        assert!(uploads.take(&part(1, 3, 5, b"def")).is_err());
        assert_eq!(uploads.take(&part(1, 3, 5, b"de")), Ok(5));
        assert_eq!(uploads.finish([1; 16]).unwrap(), "abcde");
        assert!(uploads.finish([1; 16]).is_err());
    }

    #[test]
    fn one_upload_too_many_ends_the_oldest() {
        let uploads = Uploads::default();
        for id in 1..=5 {
            uploads.take(&part(id, 0, 2, b"a")).unwrap();
        }
        assert!(uploads.take(&part(1, 1, 2, b"b")).unwrap_err().message.contains("push again"));
        assert_eq!(uploads.take(&part(2, 1, 2, b"b")), Ok(2));
    }

    /// 60 MB are refused with their first part; what says less and sends more comes no further than it said.
    #[test]
    fn no_more_is_kept_than_a_component_may_have() {
        let uploads = Uploads::default();
        for total in [60_000_000, COMPONENT_BYTES_MAX as u64 + 1, 1 << 40, u64::MAX] {
            let large = uploads.take(&part(1, 0, total, b"a")).unwrap_err();
            assert!(large.message.contains("bytes, at most 33554432 are allowed"), "{large}");
            assert!(uploads.take(&part(1, 1, total, b"a")).is_err(), "nothing of it is kept");
        }
        let longest = vec![0; UploadComponent::BYTES_MAX];
        let total = COMPONENT_BYTES_MAX as u64;
        let mut at = 0;
        while at < total {
            at = uploads.take(&part(2, at, total, &longest)).unwrap();
        }
        assert!(uploads.take(&part(2, at, total, b"a")).unwrap_err().message.contains("does not follow"));
        assert_eq!(uploads.finish([2; 16]).unwrap().len(), COMPONENT_BYTES_MAX);
        let longer = vec![0; UploadComponent::BYTES_MAX + 1];
        assert!(uploads.take(&part(3, 0, total, &longer)).unwrap_err().message.contains("does not follow"));
    }
}
