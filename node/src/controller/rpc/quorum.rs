//! How the quorum stands.

use weir_wire::metadata::DescribeQuorum;

use super::Answer;
use crate::controller::Controller;

pub(super) async fn answer(controller: &Controller, _: DescribeQuorum) -> Answer<DescribeQuorum> {
    controller.describe_as_leader().await.ok_or_else(|| controller.not_controller())
}
