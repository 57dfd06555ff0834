//! How a client reaches its cluster.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use weir_quic::{Identity, Network, RealNetwork};

use crate::error::ClientError;

/// How a client reaches its cluster, and how long it is patient. Kafka's names stand in the descriptions.
///
/// ```
/// use std::time::Duration;
/// use weir_client::ClientConfig;
///
/// let mut config = ClientConfig::new(["node1.example:9440", "node2.example:9440"], "/etc/weir/certs");
/// config.request_timeout = Duration::from_secs(10);
/// ```
#[derive(Clone)]
pub struct ClientConfig {
    /// Where to find the first node, as `host:port` (`bootstrap.servers`). One that answers is enough: it names the
    /// others. Names are resolved at each connection attempt.
    pub bootstrap: Vec<String>,
    /// What the client proves itself with, and whom it believes.
    pub credentials: Credentials,
    /// How long one attempt to connect may take (`socket.connection.setup.timeout.ms`). Default 5 s.
    pub connect_timeout: Duration,
    /// How long one request may go unanswered before it counts as failed (`request.timeout.ms`). Default 30 s.
    pub request_timeout: Duration,
    /// How long a call of this library tries again before it gives up (`default.api.timeout.ms`). Default 60 s.
    pub api_timeout: Duration,
    /// The first pause before a node is tried again (`reconnect.backoff.ms`); doubles up to
    /// [`reconnect_backoff_max`](Self::reconnect_backoff_max). Default 50 ms.
    pub reconnect_backoff: Duration,
    /// The longest pause before a node is tried again (`reconnect.backoff.max.ms`). Default 1 s.
    pub reconnect_backoff_max: Duration,
    /// How old metadata may get before it is asked for again although nothing went wrong (`metadata.max.age.ms`).
    /// Default 5 min.
    pub metadata_max_age: Duration,
    /// Where sockets, randomness and the time of day come from. [`RealNetwork`] outside of simulations.
    pub network: Arc<dyn Network>,
}

/// What a client proves itself with.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// The folder that `weir certs` or a node wrote (`--certs`).
    Folder(PathBuf),
    /// A certificate and key in memory.
    Identity(Identity),
}

impl ClientConfig {
    /// The most bootstrap addresses.
    pub const BOOTSTRAP_MAX: usize = 100;
    /// Where a node listens unless told otherwise.
    pub const BOOTSTRAP_DEFAULT: &'static str = "127.0.0.1:9440";
    /// Where a node puts its clients' certificates unless told otherwise.
    pub const CERTS_DEFAULT: &'static str = "./weir-data/certs";

    /// The defaults, for the cluster at `bootstrap` and the certificates in the folder `certs`.
    pub fn new<A: Into<String>>(
        bootstrap: impl IntoIterator<Item = A>,
        certs: impl Into<PathBuf>,
    ) -> ClientConfig {
        ClientConfig {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            credentials: Credentials::Folder(certs.into()),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            api_timeout: Duration::from_secs(60),
            reconnect_backoff: Duration::from_millis(50),
            reconnect_backoff_max: Duration::from_secs(1),
            metadata_max_age: Duration::from_secs(300),
            network: Arc::new(RealNetwork),
        }
    }

    /// As the command line does: the cluster at `WEIR_BOOTSTRAP` (addresses separated by commas), the certificates in the
    /// folder `WEIR_CERTS`, and [`default`](Self::default) for what is not set or empty.
    ///
    /// ```
    /// use weir_client::ClientConfig;
    ///
    /// let config = ClientConfig::from_env();
    /// assert!(!config.bootstrap.is_empty());
    /// ```
    #[must_use]
    pub fn from_env() -> ClientConfig {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let bootstrap = set("WEIR_BOOTSTRAP").map(|value| value.to_string_lossy().into_owned());
        let bootstrap = bootstrap.unwrap_or_else(|| Self::BOOTSTRAP_DEFAULT.to_owned());
        let certs = set("WEIR_CERTS").map_or_else(|| PathBuf::from(Self::CERTS_DEFAULT), PathBuf::from);
        ClientConfig::new(bootstrap.split(','), certs)
    }

    pub(crate) fn check(&self) -> Result<(), ClientError> {
        let refuse = |what: String| Err(ClientError::Config(what));
        if self.bootstrap.is_empty() {
            return refuse("name at least one bootstrap address, such as 127.0.0.1:9440".to_owned());
        }
        if self.bootstrap.len() > Self::BOOTSTRAP_MAX {
            return refuse(format!("name at most {} bootstrap addresses", Self::BOOTSTRAP_MAX));
        }
        for address in &self.bootstrap {
            let port = address.rsplit_once(':').map(|(host, port)| (host, port.parse::<u16>()));
            match port {
                Some((host, Ok(port))) if !host.is_empty() && port > 0 => {}
                _ => {
                    return refuse(format!(
                        "'{address}' is not an address: write host:port, such as 127.0.0.1:9440"
                    ));
                }
            }
        }
        if self.reconnect_backoff.is_zero() || self.reconnect_backoff > self.reconnect_backoff_max {
            return refuse("reconnect_backoff is above 0 and at most reconnect_backoff_max".to_owned());
        }
        for (name, value) in [
            ("connect_timeout", self.connect_timeout),
            ("request_timeout", self.request_timeout),
            ("api_timeout", self.api_timeout),
            ("metadata_max_age", self.metadata_max_age),
        ] {
            if value.is_zero() {
                return refuse(format!("{name} is above 0"));
            }
        }
        Ok(())
    }
}

impl Default for ClientConfig {
    /// A node on this machine, started without flags in the same folder.
    fn default() -> ClientConfig {
        ClientConfig::new([Self::BOOTSTRAP_DEFAULT], Self::CERTS_DEFAULT)
    }
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("bootstrap", &self.bootstrap)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_accepted() {
        assert!(ClientConfig::default().check().is_ok());
        assert!(ClientConfig::new(["[::1]:9440", "node-1.example:1"], "x").check().is_ok());
    }

    #[test]
    fn what_is_not_an_address_is_said() {
        for bad in
            ["", "localhost", ":9440", "localhost:", "localhost:port", "localhost:70000", "localhost:0"]
        {
            let error = ClientConfig::new([bad], "x").check().unwrap_err().to_string();
            assert!(error.contains("is not an address"), "{bad}: {error}");
        }
        assert!(ClientConfig::new(Vec::<String>::new(), "x").check().is_err());
    }
}
