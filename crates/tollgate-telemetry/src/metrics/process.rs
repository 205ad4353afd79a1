//! What the operating system says of the process; nothing where it has no `/proc`.

use std::fs;

use prometheus_client::{
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

/// Bytes of a page of memory and ticks of the clock, as Linux has them on the machines that we build for.
const PAGE_BYTES: i64 = 4096;
const TICKS_PER_SECOND: f64 = 100.0;

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
    if let Some(bytes) = resident_bytes() {
        let metric = encoder.encode_descriptor(
            "process_resident_memory_bytes",
            "Resident memory.",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(bytes).encode(metric)?;
    }
    if let Some(seconds) = cpu_seconds() {
        let metric = encoder.encode_descriptor(
            "process_cpu_seconds",
            "Time on the processors.",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(seconds).encode(metric)?;
    }
    if let Some(files) = open_files() {
        let metric = encoder.encode_descriptor(
            "process_open_fds",
            "Open files and sockets.",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(files).encode(metric)?;
    }
    Ok(())
}

fn resident_bytes() -> Option<i64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: i64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * PAGE_BYTES)
}

/// User and system time: the 14th and 15th field (proc(5)), counted after the name, which may hold spaces.
fn cpu_seconds() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

fn open_files() -> Option<i64> {
    i64::try_from(fs::read_dir("/proc/self/fd").ok()?.count()).ok()
}
