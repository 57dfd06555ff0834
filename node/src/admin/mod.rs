//! What operators see: metrics. Read only.

use std::net::SocketAddr;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder};

/// What times are sorted into, from the call of a small plugin to a disk that hangs.
const SECONDS: [f64; 13] =
    [0.000_01, 0.000_03, 0.000_1, 0.000_3, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// Serves this process's metrics over HTTP at `listen`, in Prometheus' text format, under `/metrics`.
///
/// Loopback is the place for it: there is no authentication, and the metrics name topics.
///
/// # Errors
/// A sentence that says why the address cannot be used.
pub fn serve_metrics(listen: SocketAddr) -> Result<(), String> {
    install(listen).map_err(|error| {
        format!("cannot serve metrics on {listen}: {error}; choose another --metrics-listen")
    })?;
    describe();
    describe_plugins();
    Ok(())
}

fn install(listen: SocketAddr) -> Result<(), BuildError> {
    let times = Matcher::Suffix("_seconds".to_owned());
    PrometheusBuilder::new().set_buckets_for_metric(times, &SECONDS)?.with_http_listener(listen).install()
}

/// Says what each metric means, for those who scrape.
fn describe() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_counter!("weir_requests_total", "Requests on control streams, by kind");
    describe_counter!("weir_produce_records_total", "Records received from producers, resent ones included");
    describe_counter!("weir_produce_bytes_total", Unit::Bytes, "Bytes of batches received from producers");
    describe_counter!(
        "weir_produce_batches_refused_total",
        "Batches refused before they reached a partition"
    );
    describe_counter!("weir_fetch_bytes_total", Unit::Bytes, "Bytes of batches sent to consumers");
    describe_counter!("weir_storage_failures_total", "Replicas taken offline since a write or flush failed");
    describe_counter!("weir_log_flushes_total", "Flushes of partition logs");
    describe_histogram!("weir_log_flush_seconds", Unit::Seconds, "Time from asking for a flush to its end");
    describe_gauge!("weir_connections", "Client connections");
    describe_gauge!("weir_partitions", "Hosted replicas");
    describe_gauge!("weir_partitions_offline", "Hosted replicas whose disk failed or whose log is damaged");
}

/// The same for what plugins do, by plugin, version, topic, and role (live or shadow). What they count themselves begins
/// with `weir_plugin_`.
fn describe_plugins() {
    use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
    describe_gauge!("weir_plugins_revision", "Revision of the topic's pipeline that was made ready last");
    describe_gauge!("weir_plugins_instances", "Instances alive");
    describe_gauge!("weir_plugins_memory_high_bytes", Unit::Bytes, "The most memory that an instance had");
    describe_counter!("weir_plugins_calls_total", "Calls of the hook that a plugin is bound for");
    describe_counter!("weir_plugins_records_total", "Records by what the plugin did to them");
    describe_counter!("weir_plugins_failures_total", "Failed calls by cause");
    describe_histogram!("weir_plugins_call_seconds", Unit::Seconds, "Time of a call, once it was its turn");
    describe_counter!(
        "weir_plugins_busy_nanoseconds_total",
        Unit::Nanoseconds,
        "Time in which calls held a thread"
    );
    describe_counter!(
        "weir_plugins_throttled_nanoseconds_total",
        Unit::Nanoseconds,
        "Time that calls waited, as the plugin failed or had its share"
    );
    describe_counter!(
        "weir_plugins_nondeterministic_total",
        "Batches that came out differently when sent again"
    );
    describe_counter!("weir_plugins_observations_left_out_total", "Observing calls left out under overload");
    describe_counter!("weir_plugins_log_lines_suppressed_total", "Lines that plugins wrote too fast");
    describe_counter!("weir_plugins_figures_refused_total", "Figures of plugins with bad or too many names");
}
