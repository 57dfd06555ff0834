//! Requests about the records of a partition.

use weir_wire::ids::{Offset, PartitionIndex};
use weir_wire::request::{DeleteRecords, RecordsDeleted};

use crate::admin::no_leader;
use crate::client::{Client, Inner};
use crate::error::ClientError;
use crate::metadata::find_partition;
use crate::net::Again;

impl Client {
    /// Deletes the records of a partition below an offset, or with `None` all that are committed. Once this returns,
    /// nothing below is served any more, also after a change of leader. Asking twice does no more than asking once.
    ///
    /// # Errors
    /// [`OffsetOutOfRange`](weir_wire::error::ErrorCode::OffsetOutOfRange) above the high watermark, or what no further
    /// try can mend; passing errors are tried again for `api_timeout`.
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
        let connection = net.connection(&address).await?;
        net.ask_at(&connection, &DeleteRecords { topic: entry.id, partition, before }).await
    }
}
