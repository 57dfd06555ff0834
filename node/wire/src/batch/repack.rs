//! The same batch with its records packed by another codec.

use bytes::{Bytes, BytesMut};

use super::codecs::Packer;
use super::{BatchHeader, Compression, HEADER_BYTES, Records, crc, header, layout};

impl Records {
    /// A batch of these records that is packed by `compression`, and says and covers whatever the batch that they are from
    /// does; with the records as its own. What a topic's `compression.type` asks for.
    #[must_use]
    pub fn repacked(self, compression: Compression) -> (Bytes, Records) {
        let section = self.section();
        // Nothing to pack: an emptied batch is stored without a codec, as Kafka does.
        let compression = if section.is_empty() { Compression::None } else { compression };
        let mut batch = vec![0; HEADER_BYTES];
        match compression {
            Compression::None => batch.extend_from_slice(section),
            compression => Packer::new(compression, None).append(section, &mut batch),
        }
        batch.shrink_to_fit();
        let before = self.header();
        let after = BatchHeader {
            total_bytes: u32::try_from(batch.len()).expect("a batch stays below 2 GiB"),
            attributes: before.attributes.recompressed(compression),
            ..*before
        };
        let mut batch = BytesMut::from(Bytes::from(batch));
        header::write(&after, &mut batch);
        let crc = crc(&batch);
        header::put(&mut batch, layout::CRC, crc.to_be_bytes());
        let batch = batch.freeze();
        let records = self.of_batch(BatchHeader { crc, ..after }, &batch);
        (batch, records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchBuilder, Limits, ProducerFields, records, validate};
    use crate::ids::{ProducerEpoch, ProducerId, Sequence};

    #[test]
    fn any_codec_becomes_any_other_and_nothing_else_changes() {
        let producer =
            ProducerFields { id: ProducerId(7), epoch: ProducerEpoch(1), base_sequence: Sequence(41) };
        let batch = |compression| {
            let mut builder = BatchBuilder::new(compression);
            builder.push(5, Some(b"key"), Some(&[b'v'; 900]), &[("h", Some(b"x"))]);
            builder.push(3, None, None, &[]);
            builder.finish(Some(producer))
        };
        let limits = Limits::default();
        for from in Compression::ALL {
            for to in Compression::ALL {
                let original = batch(from);
                let (_, taken) = validate(&original, &limits).unwrap();
                let (repacked, kept) = taken.repacked(to);
                assert_eq!(repacked, batch(to), "{from} to {to}: as the producer would have made it");
                let (header, read) = validate(&repacked, &limits).unwrap();
                assert_eq!(kept.header(), &header, "{from} to {to}");
                assert_eq!(kept.section(), read.section(), "{from} to {to}");
            }
        }
    }

    #[test]
    fn an_emptied_batch_stays_one() {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.set_last_offset_delta(3);
        let emptied = builder.finish(None);
        let taken = records(&emptied, &Limits::default()).unwrap();
        assert_eq!(taken.repacked(Compression::Zstd).0, emptied);
    }
}
