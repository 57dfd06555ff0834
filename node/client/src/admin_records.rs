//! Requests about the records of a partition.

use std::time::Duration;

use weir_wire::ids::{Offset, PartitionIndex};
use weir_wire::request::{DeleteRecords, RecordsDeleted};

use crate::admin::no_leader;
use crate::client::{Client, Inner};
use crate::error::ClientError;
use crate::metadata::{Image, find_partition};
use crate::net::Again;

impl Client {
    /// Deletes the records of a partition below an offset, or with `None` all that are committed. Once this returns,
    /// nothing below is served any more, also after a change of leader. Asking twice does no more than asking once.
    ///
    /// ```no_run
    /// use weir_client::{Client, ClientError, Offset, PartitionIndex};
    ///
    /// # async fn example(client: &Client) -> Result<(), ClientError> {
    /// let deleted = client.delete_records("quakes", PartitionIndex(0), Some(Offset(1200))).await?;
    /// println!("what is left begins at offset {}", deleted.log_start);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`OffsetOutOfRange`](weir_wire::error::ErrorCode::OffsetOutOfRange) above the high watermark, or what no further
    /// try can mend; passing errors are tried again for `api_timeout`.
    ///
    /// # Cancel safety
    /// When the future is dropped, what was asked for may be done or not; asking again does no more than asking once.
    pub async fn delete_records(
        &self,
        topic: &str,
        partition: PartitionIndex,
        before: Option<Offset>,
    ) -> Result<RecordsDeleted, ClientError> {
        let net = &self.inner.net;
        let ask = || self.delete_records_at_leader(topic, partition, before);
        net.persist("delete_records", Again::Harmless, ask).await
    }

    async fn delete_records_at_leader(
        &self,
        topic: &str,
        partition: PartitionIndex,
        before: Option<Offset>,
    ) -> Result<RecordsDeleted, ClientError> {
        let Inner { net, metadata, .. } = &*self.inner;
        let entry = metadata.fresh_topic(net, topic).await?;
        if find_partition(&entry, partition).is_none() {
            let (topic, count) = (topic.to_owned(), entry.partitions.len());
            return Err(ClientError::UnknownPartition { topic, partition, count });
        }
        let image = metadata.image();
        let (leader, _) = image.leader(&entry, partition).ok_or_else(|| no_leader(topic, partition))?;
        let address = image.nodes.get(&leader).cloned().unwrap_or_default();
        let request = DeleteRecords { topic: entry.id, partition, before };
        let asking = async { net.ask_at(&*net.connection(&address).await?, &request).await };
        let has_moved = |image: &Image| image.is_led_by_another(topic, partition, leader);
        metadata.unless_moved(&address, Duration::ZERO, has_moved, asking).await
    }
}
