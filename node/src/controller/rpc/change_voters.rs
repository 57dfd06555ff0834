//! Other voters, by an operator's word.

use weir_wire::metadata::{ChangeVoters, Refusal, VotersChanged};

use super::Answer;
use crate::controller::Controller;

pub(super) async fn answer(controller: &Controller, request: ChangeVoters) -> Answer<ChangeVoters> {
    if !controller.is_active() {
        return Err(controller.not_controller());
    }
    let voters = controller.replace_voter(&request).await.map_err(Refusal::Invalid)?;
    Ok(VotersChanged { voters })
}
