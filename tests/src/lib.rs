//! What the whole-system tests share.

pub mod process;
pub mod sim;
