//! A container's statistics in Docker's form, as the metadata endpoint gives them. Pure.
//! Source: Docker Engine API 1.30, ContainerStats; Amazon ECS developer guide, "Task metadata v4 examples for tasks on
//! Fargate" (network rates).

use runtime::{ContainerUsage, Counted, CpuUsage, MemoryUsage};
use serde_json::{Map, Value, json};
use types::Timestamp;

/// What Docker says of a time that never was.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// What a container used, and when.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) usage: ContainerUsage,
}

/// The statistics of the container `id` at `now`; `before` is what it used when somebody last asked, for those who want
/// the difference.
pub(super) fn body(id: &str, now: &Sample, before: Option<&Sample>) -> Value {
    let mut body = json!({
        "read": now.at.iso8601(),
        "preread": before.map_or(NEVER.to_owned(), |before| before.at.iso8601()),
        "name": now.usage.name,
        "id": id,
        "num_procs": 0,
        "pids_stats": pids(&now.usage),
        "cpu_stats": cpu(&now.usage.cpu),
        "precpu_stats": cpu(&before.map(|before| before.usage.cpu.clone()).unwrap_or_default()),
        "memory_stats": memory(&now.usage.memory),
        "blkio_stats": {
            "io_service_bytes_recursive": [],
            "io_serviced_recursive": [],
            "io_queue_recursive": [],
            "io_service_time_recursive": [],
            "io_wait_time_recursive": [],
            "io_merged_recursive": [],
            "io_time_recursive": [],
            "sectors_recursive": [],
        },
        "storage_stats": {},
        "networks": networks(&now.usage),
    });
    if let Some(rates) = before.and_then(|before| rates(before, now)) {
        body["network_rate_stats"] = rates;
    }
    body
}

fn pids(usage: &ContainerUsage) -> Value {
    let mut pids = json!({ "current": usage.pids });
    if let Some(limit) = usage.pids_limit {
        pids["limit"] = json!(limit);
    }
    pids
}

fn cpu(cpu: &CpuUsage) -> Value {
    let mut usage = json!({
        "total_usage": cpu.total,
        "usage_in_kernelmode": cpu.kernel,
        "usage_in_usermode": cpu.user,
    });
    if !cpu.per_cpu.is_empty() {
        usage["percpu_usage"] = json!(cpu.per_cpu);
    }
    let mut body = json!({
        "cpu_usage": usage,
        "throttling_data": {
            "periods": cpu.periods,
            "throttled_periods": cpu.throttled_periods,
            "throttled_time": cpu.throttled,
        },
    });
    if cpu.online > 0 {
        body["system_cpu_usage"] = json!(cpu.host);
        body["online_cpus"] = json!(cpu.online);
    }
    body
}

fn memory(memory: &MemoryUsage) -> Value {
    let mut body = json!({ "usage": memory.used, "stats": memory.stats });
    for (key, value) in [("max_usage", memory.peak), ("limit", memory.limit)] {
        if let Some(value) = value {
            body[key] = json!(value);
        }
    }
    body
}

fn networks(usage: &ContainerUsage) -> Value {
    let each = usage.networks.iter().map(|(name, traffic)| {
        let mut body = Map::new();
        for (prefix, Counted { bytes, packets, errors, dropped }) in [("rx", traffic.received), ("tx", traffic.sent)] {
            for (what, count) in [("bytes", bytes), ("packets", packets), ("errors", errors), ("dropped", dropped)] {
                body.insert(format!("{prefix}_{what}"), json!(count));
            }
        }
        (name.clone(), Value::Object(body))
    });
    Value::Object(each.collect())
}

/// Bytes a second between the two, over all interfaces.
fn rates(before: &Sample, now: &Sample) -> Option<Value> {
    let seconds = now.at.since(before.at).as_secs_f64();
    let sum = |sample: &Sample| {
        let all = sample.usage.networks.values();
        all.fold((0u64, 0u64), |(rx, tx), it| (rx.saturating_add(it.received.bytes), tx.saturating_add(it.sent.bytes)))
    };
    let ((rx_before, tx_before), (rx, tx)) = (sum(before), sum(now));
    #[expect(clippy::cast_precision_loss, reason = "a rate is not exact to the byte")]
    let rate = |before: u64, now: u64| now.saturating_sub(before) as f64 / seconds;
    (seconds > 0.0).then(|| json!({ "rx_bytes_per_sec": rate(rx_before, rx), "tx_bytes_per_sec": rate(tx_before, tx) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::Traffic;
    use std::collections::BTreeMap;

    fn sample(at: i64, total: u64, received: u64) -> Sample {
        let traffic = Traffic {
            received: Counted { bytes: received, packets: 3, errors: 0, dropped: 1 },
            sent: Counted { bytes: 50, ..Counted::default() },
        };
        let cpu = CpuUsage { total, host: 100 * total, online: 2, throttled_periods: 4, ..CpuUsage::default() };
        let memory = MemoryUsage { used: 4096, limit: Some(8192), ..MemoryUsage::default() };
        let usage = ContainerUsage {
            name: "app".to_owned(),
            cpu,
            memory,
            pids: 2,
            pids_limit: Some(77),
            networks: BTreeMap::from([("eth0".to_owned(), traffic)]),
        };
        Sample { at: Timestamp(at), usage }
    }

    #[test]
    fn the_first_answer_has_nothing_before_it() {
        let body = body("0a-1", &sample(2000, 10, 100), None);
        assert_eq!((&body["id"], &body["name"]), (&json!("0a-1"), &json!("app")));
        assert_eq!((&body["read"], &body["preread"]), (&json!("1970-01-01T00:00:02.000Z"), &json!(NEVER)));
        assert_eq!(body["cpu_stats"]["cpu_usage"]["total_usage"], 10);
        assert_eq!(body["cpu_stats"]["system_cpu_usage"], 1000);
        assert_eq!(body["cpu_stats"]["throttling_data"]["throttled_periods"], 4);
        assert_eq!(body["precpu_stats"]["cpu_usage"]["total_usage"], 0);
        assert_eq!(body["precpu_stats"].get("system_cpu_usage"), None);
        assert_eq!(body["memory_stats"], json!({ "usage": 4096, "limit": 8192, "stats": {} }));
        assert_eq!(body["pids_stats"], json!({ "current": 2, "limit": 77 }));
        assert_eq!(body["networks"]["eth0"]["rx_dropped"], 1);
        assert_eq!(body.get("network_rate_stats"), None);
    }

    #[test]
    fn the_next_one_tells_the_difference() {
        let (before, now) = (sample(2000, 10, 100), sample(4000, 30, 700));
        let body = body("0a-1", &now, Some(&before));
        assert_eq!(body["preread"], "1970-01-01T00:00:02.000Z");
        assert_eq!(body["precpu_stats"]["cpu_usage"]["total_usage"], 10);
        assert_eq!(body["network_rate_stats"], json!({ "rx_bytes_per_sec": 300.0, "tx_bytes_per_sec": 0.0 }));
        assert_eq!(super::body("0a-1", &now, Some(&now)).get("network_rate_stats"), None, "no time has passed");
    }
}
