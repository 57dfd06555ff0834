//! `weir certs`: certificates of a cluster's own authority, to carry to other machines.

use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use clap::Subcommand;
use serde::Serialize;
use weir_quic::certs_list::ListedCertificate;
use weir_quic::{Authority, Network, RealNetwork, certs, certs_list};
use weir_wire::ids::NodeId;

use super::global::Global;
use super::output::{Done, Exit, Failure, Output};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: CertsCommand,
}

#[derive(Debug, Subcommand)]
enum CertsCommand {
    /// Make the cluster's authority in --certs, and a client certificate beside it
    Authority,
    /// Make a node's certificate; carry the folder to its machine and start `weir node --certs` on it
    Node {
        /// The node's number
        id: NodeId,
        /// The folder to make
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Make a client's certificate; carry the folder to whoever uses it
    Client {
        /// The client's name: what access rules call it
        name: String,
        /// The folder to make
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Show the certificates in a folder: whose they are, and until when they are valid
    Show {
        /// The folder [default: --certs]
        folder: Option<PathBuf>,
    },
}

pub(super) fn run(args: Args, global: &Global, output: Output) -> Done {
    let certs = global.client_certs();
    let now = RealNetwork.unix_time();
    match args.command {
        CertsCommand::Authority => {
            let authority = certs::ensure_authority(&certs, now)?;
            certs::ensure_client(&certs, &authority, certs::DEFAULT_CLIENT_NAME, now)?;
            show(&certs, now, output)
        }
        CertsCommand::Node { id, out } => {
            let authority = authority_for(&certs, &out)?;
            certs::ensure_node(&out, &authority, id, now)?;
            show(&out, now, output)
        }
        CertsCommand::Client { name, out } => {
            let authority = authority_for(&certs, &out)?;
            certs::ensure_client(&out, &authority, &name, now)?;
            show(&out, now, output)
        }
        CertsCommand::Show { folder } => show(&folder.unwrap_or(certs), now, output),
    }
}

/// The authority that signs what goes into `out`.
fn authority_for(certs: &Path, out: &Path) -> Result<Authority, Failure> {
    // Whoever is given that folder would be given the authority with it.
    if out == certs {
        return Err(Failure::new(format!(
            "{} holds the authority, whose key must not be carried about: choose another --out folder",
            out.display()
        )));
    }
    Ok(certs::load_authority(certs)?)
}

fn show(folder: &Path, now: Duration, output: Output) -> Done {
    let shown: Vec<Shown> =
        certs_list::list(folder)?.into_iter().map(|listed| Shown::of(listed, now)).collect();
    for certificate in &shown {
        let Shown { file, holder, issuer, not_after, expired, .. } = certificate;
        let until = if *expired { "EXPIRED" } else { "valid until" };
        output.line(&format!("{}  {holder}  by {issuer}  {until} {not_after}", file.display()))?;
    }
    output.result(&serde_json::json!({ "certificates": shown }))?;
    Ok(if shown.iter().any(|certificate| certificate.expired) { Exit::Failed } else { Exit::Success })
}

/// A certificate as it is printed.
#[derive(Debug, Serialize)]
struct Shown {
    file: PathBuf,
    /// `authority`, or a principal such as `weir:node/3`.
    holder: String,
    issuer: String,
    not_before: String,
    not_after: String,
    expired: bool,
}

impl Shown {
    fn of(listed: ListedCertificate, now: Duration) -> Shown {
        let date = |time: Duration| {
            // The field of a certificate ends in the year 9999, and so does this.
            humantime::format_rfc3339_seconds(UNIX_EPOCH + time).to_string()
        };
        Shown {
            holder: listed.principal.map_or_else(|| "authority".to_owned(), |holder| holder.to_string()),
            issuer: listed.issuer,
            not_before: date(listed.not_before),
            not_after: date(listed.not_after),
            expired: listed.not_after < now,
            file: listed.path,
        }
    }
}
