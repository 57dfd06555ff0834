//! The one question that every handler asks before it does anything.

use weir_quic::Principal;
use weir_wire::error::WireError;

/// What somebody wants to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// See that it exists and what it is like.
    Describe,
    /// Make it.
    Create,
    /// Remove it with all that it holds.
    Delete,
    /// Change how it is set up.
    Alter,
    /// Append records.
    Write,
    /// Read records.
    Read,
}

/// What it is done to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// The cluster as a whole.
    Cluster,
    /// A topic by name.
    Topic(&'a str),
    /// A group by name.
    Group(&'a str),
}

/// Decides whether `principal` may do `operation` to `resource`.
///
/// Until the first access rule exists, whoever holds a certificate of the cluster's authority may do everything;
/// this version knows no rules yet.
///
/// # Errors
/// `Unauthorized`, with a sentence that names all three.
pub fn authorize(
    principal: &Principal,
    operation: Operation,
    resource: Resource<'_>,
) -> Result<(), WireError> {
    tracing::trace!(%principal, ?operation, ?resource, "allowed");
    Ok(())
}
