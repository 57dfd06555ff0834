//! What the whole-system tests share.

pub mod bare;
pub mod book;
pub mod process;
pub mod sim;
pub mod torture;
