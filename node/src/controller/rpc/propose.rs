//! A command of another node.

use weir_core::metadata::Command;
use weir_wire::metadata::{Propose, Proposed, Refusal};
use weir_wire::request::{decode_body, encode_body};

use super::Answer;
use crate::controller::Controller;
use crate::controller::submit::Undecided;

pub(super) async fn answer(controller: &Controller, request: Propose) -> Answer<Propose> {
    let command =
        decode_body::<Command>(&request.command).map_err(|error| Refusal::Invalid(error.message))?;
    match controller.decide(command).await {
        Ok((index, outcome)) => Ok(Proposed { index, outcome: encode_body(&outcome) }),
        Err(Undecided::NotActive) => Err(controller.not_controller()),
        Err(Undecided::Unknown) => {
            Err(Refusal::Unavailable("the command was not decided on in time".to_owned()))
        }
        Err(Undecided::Stopping) => Err(Refusal::Unavailable("it is shutting down".to_owned())),
    }
}
