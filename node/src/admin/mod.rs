//! What operators see: metrics. Read only.

use std::net::SocketAddr;

use metrics_exporter_prometheus::PrometheusBuilder;

/// Serves this process's metrics over HTTP at `listen`, in Prometheus' text format, under `/metrics`.
///
/// Loopback is the place for it: there is no authentication, and the metrics name topics.
///
/// # Errors
/// A sentence that says why the address cannot be used.
pub fn serve_metrics(listen: SocketAddr) -> Result<(), String> {
    PrometheusBuilder::new().with_http_listener(listen).install().map_err(|error| {
        format!("cannot serve metrics on {listen}: {error}; choose another --metrics-listen")
    })?;
    describe();
    Ok(())
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
