//! A plugin bound to a made-up topic.

use super::record::{Fate, TestRecord, encode};
use super::rules::{self, Way};
use crate::context::{Context, Options};
use crate::edits::{Answer, Edits};
use crate::error::Result;
use crate::hooks::{ConsumerInterceptor, Partitioner, ProducerInterceptor, Want};
use crate::records::{Batch, Fetched, Keys, Produced};

/// What a plugin is bound to in a test, and what its batches have about them. All fields may be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// What the plugin is configured with: a topic `test` of 6 partitions at revision 1, answers of at most 2 MiB.
    pub context: Context,
    /// What is known of a batch that is produced: producer 7, ordinal 0, no guess. The count is filled in.
    pub produced: Produced,
    /// What is known of a batch that is fetched: partition 0, offset 0. The count is filled in.
    pub fetched: Fetched,
}

impl Default for Binding {
    fn default() -> Binding {
        Binding::of(&[])
    }
}

impl Binding {
    /// A binding with these options.
    #[must_use]
    pub fn of(options: &[(&str, &str)]) -> Binding {
        Binding {
            context: Context {
                topic: "test".to_owned(),
                revision: 1,
                partitions: 6,
                options: Options::from(options),
                answer_bytes_max: 2 * 1024 * 1024,
            },
            produced: Produced {
                producer_id: Some(7),
                ordinal: 0,
                guess: None,
                count: 0,
                base_timestamp_ms: 0,
            },
            fetched: Fetched {
                partition: 0,
                base_offset: 0,
                count: 0,
                base_timestamp_ms: 0,
                append_timestamp_ms: None,
            },
        }
    }

    /// The binding of a topic with so many partitions.
    #[must_use]
    pub fn partitions(mut self, partitions: u32) -> Binding {
        self.context.partitions = partitions;
        self
    }

    /// What becomes of a batch of these records on its way into the log.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// If the answer breaks a rule of the contract, or is another one the second time.
    pub fn send<P: ProducerInterceptor>(&self, records: &[TestRecord]) -> Result<Vec<Fate>> {
        let about = Produced {
            count: count(records),
            base_timestamp_ms: records.first().map_or(0, |first| first.timestamp_ms),
            ..self.produced
        };
        let mut bytes = encode(records);
        let make = || P::configure(&self.context);
        let wants = make()?.wants();
        if wants.contains(&Want::NoRecords) {
            bytes.clear();
        }
        let answer = thrice(make, |plugin| {
            let mut edits = Edits::of(&bytes);
            plugin.on_send(&Batch::new(about, &bytes), &mut edits)?;
            Ok(edits.into_answer())
        })?;
        let fates = rules::apply(&answer, records, Way::Produce, self.context.answer_bytes_max);
        check_parts(wants, records, &fates, |record| self.send::<P>(record))?;
        Ok(fates)
    }

    /// What a consumer gets of a batch of these records.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// If the answer breaks a rule of the contract, or is another one the second time.
    pub fn consume<P: ConsumerInterceptor>(&self, records: &[TestRecord]) -> Result<Vec<Fate>> {
        let about = Fetched {
            count: count(records),
            base_timestamp_ms: records.first().map_or(0, |first| first.timestamp_ms),
            ..self.fetched
        };
        let mut bytes = encode(records);
        let make = || P::configure(&self.context);
        let wants = make()?.wants();
        if wants.contains(&Want::NoRecords) {
            bytes.clear();
        }
        let answer: Answer = thrice(make, |plugin| {
            let mut edits = Edits::of(&bytes);
            plugin.on_consume(&Batch::new(about, &bytes), &mut edits)?;
            Ok(edits.into_answer())
        })?;
        let fates = rules::apply(&answer, records, Way::Consume, self.context.answer_bytes_max);
        check_parts(wants, records, &fates, |record| self.consume::<P>(record))?;
        Ok(fates)
    }

    /// Where a batch of records with these keys goes.
    ///
    /// # Errors
    /// What the plugin answers.
    ///
    /// # Panics
    /// If the answer breaks a rule of the contract, or is another one the second time.
    pub fn partition<P: Partitioner>(&self, keys: &[Option<&[u8]>]) -> Result<Vec<u32>> {
        let about = Produced { count: count(keys), ..self.produced };
        let bytes: Vec<u8> = keys.iter().flatten().copied().flatten().copied().collect();
        let length = |key: &Option<&[u8]>| {
            key.map_or(-1, |key| i32::try_from(key.len()).expect("a key of a test is short"))
        };
        let lengths: Vec<i32> = keys.iter().map(length).collect();
        let answer = thrice(
            || P::configure(&self.context),
            |plugin| plugin.partition(&about, Keys::new(&bytes, &lengths)),
        )?;
        rules::check_partitions(&answer, keys.len(), self.context.partitions);
        Ok(answer)
    }
}

/// Runs a hook on a fresh instance, again on the same one, and on another fresh one.
pub(super) fn thrice<P, T: PartialEq + std::fmt::Debug>(
    make: impl Fn() -> Result<P>,
    mut call: impl FnMut(&mut P) -> Result<T>,
) -> Result<T> {
    let mut one = make()?;
    let first = call(&mut one)?;
    let again = call(&mut one)?;
    assert_eq!(again, first, "the hook is not pure: an instance that was used answers differently");
    let other = call(&mut make()?)?;
    assert_eq!(other, first, "the hook is not pure: another instance answers differently");
    Ok(first)
}

/// A plugin that wants batches in parts answers about each record alone what it answers about it among others.
fn check_parts(
    wants: &[Want],
    records: &[TestRecord],
    fates: &[Fate],
    mut alone: impl FnMut(&[TestRecord]) -> Result<Vec<Fate>>,
) -> Result<()> {
    if records.len() < 2 || !wants.contains(&Want::InParts) {
        return Ok(());
    }
    for (at, record) in records.iter().enumerate() {
        let fate = alone(std::slice::from_ref(record))?;
        assert_eq!(
            fate,
            fates[at..=at],
            "record {at} comes to something else alone than among others, but the plugin wants batches in parts"
        );
    }
    Ok(())
}

fn count<T>(of: &[T]) -> u32 {
    u32::try_from(of.len()).expect("a batch of a test is small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edits::{Content, HeaderValue};
    use crate::records::{FetchedBatch, ProducedBatch};

    /// Does what a record's value says.
    struct Obedient;

    impl Obedient {
        fn obey(records: crate::Records<'_>, edits: &mut Edits) {
            for record in records {
                match record.value {
                    Some(b"drop") => edits.drop(record.index),
                    Some(b"reject") => edits.reject(record.index, 3, "asked for"),
                    Some(b"null") => edits.set_value_null(record.index),
                    Some(b"double") => edits.set_value(record.index, b"doubledouble"),
                    Some(b"rekey") => {
                        let mut content = Content::of(&record);
                        content.key = content.headers.first().and_then(|(_, value)| *value);
                        content.headers.clear();
                        edits.replace(record.index, &content);
                    }
                    Some(b"stamp") => edits.append_header("by", HeaderValue::Principal),
                    _ => {}
                }
            }
        }
    }

    impl ProducerInterceptor for Obedient {
        fn configure(_: &Context) -> Result<Obedient> {
            Ok(Obedient)
        }

        fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
            Obedient::obey(batch.records(), edits);
            Ok(())
        }
    }

    impl ConsumerInterceptor for Obedient {
        fn configure(_: &Context) -> Result<Obedient> {
            Ok(Obedient)
        }

        fn on_consume(&mut self, batch: &FetchedBatch<'_>, edits: &mut Edits) -> Result<()> {
            Obedient::obey(batch.records(), edits);
            Ok(())
        }
    }

    #[test]
    fn every_action_has_its_effect() {
        let values = ["keep", "drop", "reject", "null", "double", "rekey"];
        let records = values.map(|value| TestRecord::of("k", value).header("h", "1"));
        let fates = Binding::default().send::<Obedient>(&records).unwrap();
        assert_eq!(fates[..3], [Fate::Kept, Fate::Dropped, Fate::rejected(3, "asked for")]);
        assert_eq!(fates[3], Fate::Changed(records[3].clone().tombstone()));
        assert_eq!(fates[4].new_value(), "doubledouble");
        assert_eq!(fates[5], Fate::Changed(TestRecord::of("1", "rekey")));
    }

    #[test]
    fn appended_headers_go_to_every_kept_record() {
        let records = ["drop", "stamp", "keep"].map(TestRecord::of_value);
        let fates = Binding::default().send::<Obedient>(&records).unwrap();
        let stamped = |at: usize| Fate::Changed(records[at].clone().header("by", "<principal>"));
        assert_eq!(fates, [Fate::Dropped, stamped(1), stamped(2)]);
    }

    #[test]
    #[should_panic(expected = "nothing can be rejected")]
    fn consumers_cannot_be_refused() {
        let _ = Binding::default().consume::<Obedient>(&[TestRecord::of_value("reject")]);
    }

    #[test]
    #[should_panic(expected = "more than the 8 that the binding allows")]
    fn a_long_answer_is_noticed() {
        let mut binding = Binding::default();
        binding.context.answer_bytes_max = 8;
        let _ = binding.send::<Obedient>(&[TestRecord::of_value("double")]);
    }

    /// Counts its calls, as a plugin must not.
    struct Counting(u32);

    impl Partitioner for Counting {
        fn configure(_: &Context) -> Result<Counting> {
            Ok(Counting(0))
        }

        fn partition(&mut self, _: &Produced, keys: Keys<'_>) -> Result<Vec<u32>> {
            self.0 += 1;
            Ok(keys.map(|_| self.0).collect())
        }
    }

    #[test]
    #[should_panic(expected = "not pure: an instance that was used")]
    fn state_between_calls_is_noticed() {
        let _ = Binding::default().partition::<Counting>(&[None]);
    }

    /// Says what it is told about the batch.
    struct Telling;

    impl ProducerInterceptor for Telling {
        fn configure(_: &Context) -> Result<Telling> {
            Ok(Telling)
        }

        fn wants(&self) -> &'static [Want] {
            &[Want::NoRecords]
        }

        fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
            assert!(batch.records().next().is_none());
            edits.append_header("count", HeaderValue::Bytes(batch.count.to_string().into_bytes()));
            Ok(())
        }
    }

    #[test]
    fn a_plugin_may_want_no_records() {
        let record = TestRecord::of_value("v");
        let fates = Binding::default().send::<Telling>(&[record.clone(), record.clone()]).unwrap();
        assert_eq!(fates[1], Fate::Changed(record.header("count", "2")));
    }

    /// Keeps the first record of what it is shown, although it wants parts.
    struct FirstOnly;

    impl ProducerInterceptor for FirstOnly {
        fn configure(_: &Context) -> Result<FirstOnly> {
            Ok(FirstOnly)
        }

        fn wants(&self) -> &'static [Want] {
            &[Want::InParts]
        }

        fn on_send(&mut self, batch: &ProducedBatch<'_>, edits: &mut Edits) -> Result<()> {
            (1..batch.count).for_each(|index| edits.drop(index));
            Ok(())
        }
    }

    #[test]
    #[should_panic(expected = "record 1 comes to something else alone than among others")]
    fn a_plugin_that_wants_parts_and_looks_at_the_whole_is_noticed() {
        let record = TestRecord::of_value("v");
        let _ = Binding::default().send::<FirstOnly>(&[record.clone(), record]);
    }

    #[test]
    fn offsets_and_times_of_fetched_records() {
        let records = [1_000, 1_250].map(|timestamp_ms| TestRecord { timestamp_ms, ..TestRecord::default() });
        let bytes = encode(&records);
        let about = Fetched { base_offset: 40, base_timestamp_ms: 1_000, ..Binding::default().fetched };
        let batch = Batch::new(about, &bytes);
        let seen: Vec<_> =
            batch.records().map(|record| (batch.offset(&record), batch.timestamp_ms(&record))).collect();
        assert_eq!(seen, [(40, 1_000), (41, 1_250)]);
        let batch = Batch::new(Fetched { append_timestamp_ms: Some(9), ..about }, &bytes);
        assert_eq!(batch.records().map(|record| batch.timestamp_ms(&record)).collect::<Vec<_>>(), [9, 9]);
    }
}
