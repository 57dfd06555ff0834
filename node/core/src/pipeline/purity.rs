//! Whether a pipeline made the same of a batch when it was sent again.

use weir_wire::batch::{RecordRef, Records};

/// Whether two tries at one part hold the same records, as far as that decides where records go and which replaces
/// which: as many, with the same keys in the same order. Headers and values may differ: a plugin may ask for the name of
/// the node that took the batch.
///
/// A stored batch may have lost records to compaction since: what is left of it must be in the part, at the same places.
#[must_use]
pub fn is_same_part(sent: &Records, stored: &Records) -> bool {
    let header = stored.header();
    let is_whole = header.last_offset_delta.checked_add(1) == Some(header.record_count);
    let mut sent_records = sent.iter();
    let is_there = |stored: RecordRef<'_>| {
        let at_its_place = sent_records.find(|sent| sent.offset_delta >= stored.offset_delta);
        at_its_place.is_some_and(|sent| sent.offset_delta == stored.offset_delta && sent.key == stored.key)
    };
    (!is_whole || sent.len() == stored.len()) && stored.iter().all(is_there)
}

#[cfg(test)]
mod tests {
    use weir_wire::batch::{self, BatchBuilder, Compression, Limits};

    use super::*;

    fn records(keys: &[(u32, Option<&str>)], compression: Compression) -> Records {
        let mut builder = BatchBuilder::new(compression);
        for (delta, key) in keys {
            builder.push_at(*delta, 0, key.map(str::as_bytes), Some(b"v"), &[]);
        }
        batch::records(&builder.finish(None), &Limits::default()).unwrap()
    }

    #[test]
    fn keys_and_their_order_tell_two_tries_apart() {
        let of = |keys: &[Option<&str>]| {
            let keys: Vec<_> = (0..).zip(keys.iter().copied()).collect();
            records(&keys, Compression::None)
        };
        let stored = of(&[Some("a"), None, Some("b")]);
        assert!(is_same_part(&of(&[Some("a"), None, Some("b")]), &stored));
        assert!(is_same_part(
            &records(&[(0, Some("a")), (1, None), (2, Some("b"))], Compression::Lz4),
            &stored
        ));
        for other in [
            &[Some("a"), None, Some("c")][..],
            &[Some("b"), None, Some("a")],
            &[Some("a"), Some(""), Some("b")],
            &[Some("a"), None],
        ] {
            assert!(!is_same_part(&of(other), &stored), "{other:?}");
        }
    }

    #[test]
    fn what_compaction_left_must_be_in_the_part() {
        let compacted = records(&[(0, Some("a")), (2, Some("b"))], Compression::None);
        let sent = |keys: [&str; 3]| {
            let keys: Vec<_> = (0..).zip(keys.map(Some)).collect();
            records(&keys, Compression::None)
        };
        assert!(is_same_part(&sent(["a", "x", "b"]), &compacted));
        assert!(!is_same_part(&sent(["a", "b", "x"]), &compacted));
        // An interceptor that drops records of a batch for a named partition leaves gaps of its own.
        assert!(is_same_part(&compacted, &compacted));
        assert!(!is_same_part(&records(&[(1, Some("a")), (2, Some("b"))], Compression::None), &compacted));
    }
}
