//! What quinn gives between two processes on loopback, one thread each.
#![expect(clippy::disallowed_methods, reason = "real time is what is measured")]

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use weir_quic::identity::SERVER_NAME;
use weir_quic::quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use weir_quic::quinn::rustls;
use weir_quic::quinn::{
    ClientConfig, Connection, Endpoint, EndpointConfig, Incoming, MtuDiscoveryConfig, ServerConfig,
    TokioRuntime, TransportConfig, VarInt,
};
use weir_quic::{Network, RealNetwork};
use weir_wire::ids::NodeId;

use super::{Outcome, Settings, part_ms};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Windows of a connection and of a stream.
const WINDOW_BYTES: u32 = 4 * 1024 * 1024;
/// The datagrams of the tuned settings: ten fit one call.
const TUNED_MTU: u16 = 6500;
/// What one write hands over.
const CHUNK_BYTES: usize = 256 * 1024;
/// What an answer has.
const ANSWER_BYTES: usize = 64;
/// What is not counted at the start.
const WARMUP: Duration = Duration::from_millis(500);

/// One stream, as many bytes as go.
///
/// # Errors
/// What the system, quinn or the other process says.
pub fn bulk(settings: Settings, seconds: f64) -> Outcome<Value> {
    with_peer(settings, async |connection, serving| {
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&0_u64.to_le_bytes()).await?;
        let chunk = Bytes::from(vec![0x5a; CHUNK_BYTES]);
        let mut written = 0_u64;
        let warm = Instant::now();
        while warm.elapsed() < WARMUP {
            send.write_chunk(chunk.clone()).await?;
        }
        let (ours, theirs) = (cpu_seconds("self")?, cpu_seconds(&serving.id().to_string())?);
        let (started, span) = (Instant::now(), Duration::from_secs_f64(seconds));
        while started.elapsed() < span {
            send.write_chunk(chunk.clone()).await?;
            written += u64::try_from(CHUNK_BYTES)?;
        }
        let took = started.elapsed().as_secs_f64();
        let (ours, theirs) = (cpu_seconds("self")? - ours, cpu_seconds(&serving.id().to_string())? - theirs);
        send.finish()?;
        // The other end says that it has all of it: what was written had left, but for a window.
        let mut answer = [0; 8];
        receive.read_exact(&mut answer).await?;
        let path = connection.stats().path;
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let megabytes = written as f64 / 1e6;
        Ok(json!({
            "bench": "bulk",
            "settings": settings.name(),
            "megabytes_per_second": megabytes / took,
            "cpu_seconds_per_gigabyte_client": ours * 1000.0 / megabytes,
            "cpu_seconds_per_gigabyte_server": theirs * 1000.0 / megabytes,
            "mtu": path.current_mtu,
            "lost_packets": path.lost_packets,
        }))
    })
}

/// One request at a time on one stream.
///
/// # Errors
/// As [`bulk`].
pub fn ping_pong(settings: Settings, seconds: f64, bytes: usize) -> Outcome<Value> {
    with_peer(settings, async |connection, _| {
        let (mut send, mut receive) = connection.open_bi().await?;
        send.write_all(&u64::try_from(bytes)?.to_le_bytes()).await?;
        let (request, mut answer) = (vec![0x5a; bytes], [0; ANSWER_BYTES]);
        let (started, span) = (Instant::now(), WARMUP + Duration::from_secs_f64(seconds));
        let mut times = Vec::new();
        while started.elapsed() < span {
            let before = Instant::now();
            send.write_all(&request).await?;
            receive.read_exact(&mut answer).await?;
            if started.elapsed() > WARMUP {
                times.push(before.elapsed());
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let per_second = times.len() as f64 / seconds;
        Ok(json!({
            "bench": "ping-pong",
            "settings": settings.name(),
            "bytes": bytes,
            "requests_per_second": per_second,
            "p50_ms": part_ms(&mut times, 500),
            "p99_ms": part_ms(&mut times, 990),
            "p999_ms": part_ms(&mut times, 999),
        }))
    })
}

/// The other end: prints its address, and serves until its standard input ends.
///
/// # Errors
/// As [`bulk`].
pub fn serve(settings: Settings) -> Outcome<()> {
    let mut lines = std::io::stdin().lines();
    let folder = lines.next().ok_or("the folder of the certificates is the first line")??;
    runtime()?.block_on(async {
        let endpoint = endpoint(settings, Some(server_config(settings, Path::new(&folder))?))?;
        println!("{}", endpoint.local_addr()?);
        std::io::stdout().flush()?;
        while let Some(incoming) = endpoint.accept().await {
            tokio::spawn(async move {
                if let Err(error) = answer(incoming).await {
                    eprintln!("weir-bare serve: {error}");
                }
            });
        }
        Ok(())
    })
}

/// Takes one stream: its first eight bytes say how many bytes a request has; 0 for no requests.
async fn answer(incoming: Incoming) -> Outcome<()> {
    let connection = incoming.await?;
    let (mut send, mut receive) = connection.accept_bi().await?;
    let mut first = [0; 8];
    receive.read_exact(&mut first).await?;
    match usize::try_from(u64::from_le_bytes(first))? {
        0 => {
            let mut read = 0_u64;
            while let Some(chunk) = receive.read_chunk(usize::MAX, true).await? {
                read += u64::try_from(chunk.bytes.len())?;
            }
            send.write_all(&read.to_le_bytes()).await?;
            send.finish()?;
            send.stopped().await?;
        }
        bytes => {
            let (mut request, answer) = (vec![0; bytes], [0x5a; ANSWER_BYTES]);
            // Ends with the connection.
            while receive.read_exact(&mut request).await.is_ok() {
                send.write_all(&answer).await?;
            }
        }
    }
    Ok(())
}

/// Starts the other end, connects, and measures.
fn with_peer(
    settings: Settings,
    measure: impl AsyncFnOnce(&Connection, &Child) -> Outcome<Value>,
) -> Outcome<Value> {
    let folder = tempfile::tempdir()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    weir_quic::certs::for_node(folder.path(), &folder.path().join("node"), NodeId(1), now)?;
    let mut serving = Serving(
        Command::new(std::env::current_exe()?)
            .args(["serve", "--settings", settings.name()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?,
    );
    let stdin = serving.0.stdin.as_mut().ok_or("standard input was piped")?;
    writeln!(stdin, "{}", folder.path().display())?;
    let stdout = serving.0.stdout.take().ok_or("standard output was piped")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let address: SocketAddr = line.trim().parse()?;
    runtime()?.block_on(async {
        let endpoint = endpoint(settings, None)?;
        let config = client_config(settings, folder.path())?;
        let connection = endpoint.connect_with(config, address, SERVER_NAME)?.await?;
        let measured = measure(&connection, &serving.0).await;
        connection.close(VarInt::from_u32(0), b"");
        measured
    })
}

/// Ends with the measurement, however that ends.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn runtime() -> Outcome<Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

fn endpoint(settings: Settings, server: Option<ServerConfig>) -> Outcome<Endpoint> {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    if settings == Settings::Default {
        return Ok(match server {
            Some(server) => Endpoint::server(server, any)?,
            None => Endpoint::client(any)?,
        });
    }
    // A socket with large buffers.
    let socket = RealNetwork.bind(any, 1)?.pop().ok_or("one socket was asked for")?;
    let mut config = EndpointConfig::default();
    config.max_udp_payload_size(9000)?;
    Ok(Endpoint::new_with_abstract_socket(config, server, socket.open()?, Arc::new(TokioRuntime))?)
}

fn transport(settings: Settings) -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    if settings == Settings::Tuned {
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(TUNED_MTU);
        transport
            .send_window(u64::from(WINDOW_BYTES))
            .receive_window(VarInt::from_u32(WINDOW_BYTES))
            .stream_receive_window(VarInt::from_u32(WINDOW_BYTES))
            .initial_mtu(TUNED_MTU)
            .mtu_discovery_config(Some(mtu));
    }
    Arc::new(transport)
}

/// AES-128, as Weir prefers it, whatever the settings: the cipher is not what is compared.
fn crypto() -> Arc<rustls::crypto::CryptoProvider> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites = vec![rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256];
    Arc::new(provider)
}

fn server_config(settings: Settings, folder: &Path) -> Outcome<ServerConfig> {
    let node = folder.join("node");
    let certificate = CertificateDer::from_pem_file(node.join("node-1.pem"))?;
    let key = PrivateKeyDer::from_pem_file(node.join("node-1.key"))?;
    let tls = rustls::ServerConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    server.transport_config(transport(settings));
    Ok(server)
}

fn client_config(settings: Settings, folder: &Path) -> Outcome<ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem"))?)?;
    let tls = rustls::ClientConfig::builder_with_provider(crypto())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    client.transport_config(transport(settings));
    Ok(client)
}

/// User and system time of a process, by `/proc`: fields 14 and 15, in hundredths of a second.
fn cpu_seconds(process: &str) -> Outcome<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').ok_or("a process has a name")?;
    let mut ticks = fields.split_ascii_whitespace().skip(11).map(str::parse::<f64>);
    let mut next = || ticks.next().ok_or("a process has used time");
    Ok((next()?? + next()??) / 100.0)
}
