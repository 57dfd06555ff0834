//! A coordinator that takes over changes nothing by itself, so no member loses what it has, also when its metadata lags
//! (KIP-848: the new coordinator continues from the records).

use weir_wire::group_log::GroupRecord;

/// `wrote`: what the new coordinator wrote at once, although the target is up to date and no topic is news to it.
pub(crate) fn failover_moves_nothing(wrote: &[GroupRecord]) -> Result<(), String> {
    match wrote.first() {
        None => Ok(()),
        Some(record) => Err(format!("a coordinator took over and wrote {record:?}")),
    }
}
