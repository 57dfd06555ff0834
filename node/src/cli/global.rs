//! The flags that all commands take, and connecting with them.

use std::path::PathBuf;
use std::time::Duration;

use clap::ArgAction;
use weir_client::{Client, ClientConfig};

use super::output::{Failure, Format, Output};

/// How long a command waits for a node that does not answer before it gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// After which wait a person is told what is being waited for.
const SAY_AFTER: Duration = Duration::from_secs(2);

/// Where clients find their certificates when no flag says so.
const CERTS_VARIABLE: &str = "WEIR_CERTS";

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Global {
    /// Nodes to ask first, HOST:PORT, separated by commas
    /// [env: WEIR_BOOTSTRAP] [default: 127.0.0.1:9440]
    #[arg(long, global = true, value_name = "ADDR", env = "WEIR_BOOTSTRAP", value_delimiter = ',')]
    #[arg(default_value = ClientConfig::BOOTSTRAP_DEFAULT, help_heading = "Everywhere")]
    #[arg(hide_env = true, hide_default_value = true, verbatim_doc_comment)]
    bootstrap: Vec<String>,
    /// Certificates: a client's, or a node's (where its default is DATA/certs)
    /// [env: WEIR_CERTS] [default: ./weir-data/certs]
    // The variable is for clients alone, so clap must not read it for nodes too.
    #[arg(long, global = true, value_name = "DIR", help_heading = "Everywhere", verbatim_doc_comment)]
    pub(super) certs: Option<PathBuf>,
    /// text or json; json ends stdout with one JSON object
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, help_heading = "Everywhere")]
    #[arg(hide_possible_values = true)]
    pub(super) output: Format,
    /// Say more on stderr; twice, say all
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Everywhere")]
    pub(super) verbose: u8,
}

impl Global {
    /// The same, with another node to ask first.
    pub(super) fn at(&self, address: String) -> Global {
        Global { bootstrap: vec![address], ..self.clone() }
    }

    /// Connects to the cluster that the flags name.
    pub(super) async fn connect(&self, output: Output) -> Result<Client, Failure> {
        let mut config = ClientConfig::new(self.bootstrap.clone(), self.client_certs());
        config.api_timeout = PATIENCE;
        let connecting = Client::connect(config);
        tokio::pin!(connecting);
        match tokio::time::timeout(SAY_AFTER, &mut connecting).await {
            Ok(client) => Ok(client?),
            Err(_) => {
                let (seconds, nodes) = (PATIENCE.as_secs(), self.bootstrap.join(", "));
                output.note(&format!("waiting for a node at {nodes}, for at most {seconds} s"));
                Ok(connecting.await?)
            }
        }
    }

    /// The folder of the certificates that clients read.
    pub(super) fn client_certs(&self) -> PathBuf {
        let from_environment = || std::env::var_os(CERTS_VARIABLE).filter(|folder| !folder.is_empty());
        let named = self.certs.clone().or_else(|| from_environment().map(PathBuf::from));
        named.unwrap_or_else(|| PathBuf::from(ClientConfig::CERTS_DEFAULT))
    }
}
